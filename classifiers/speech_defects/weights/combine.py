r"""Averages networks that were trained from the same weights on different sources, and calibrates the mean on others.

    python -m speech_defects.weights.combine one/defects.safetensors two/defects.safetensors \
        --mix noise telephone --by first/defects.safetensors --on real/manifest.jsonl --beside clips/some.jsonl \
        --calibrate clips/manifest.jsonl --output my-models

Networks that began as one lie in one valley, and their mean knows what each has learnt, at the speed of one
(Wortsman et al., "Model soups", 2022). What the logits of all defects say about one of them is learnt from those of
a network that has not met the recordings (`--by`, see stacking.py). Scores and default thresholds follow from labelled
clips: of `--calibrate`, as the mean judges them, and of `--on`, as `--by` judges each source by weights of the logits
that were learnt without it. Writes defects.safetensors and calibration.json.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from speech_defects import FRAME, Defect, Float32
from speech_defects.calibrate import calibrate
from speech_defects.evaluate.clips import Clip, UnreadableError, read_manifest, read_wave
from speech_defects.model import Network, levelled
from speech_defects.scorer import read_network
from speech_defects.stacking import admitted, judged_apart, stacked

EVIDENCE = len(Defect) + 1  # pieces of it
WEIGHTS_FILE, REPORT_FILE = "defects.safetensors", "calibration.json"


class Judged(NamedTuple):
    """Clips with what a network finds in them."""

    clips: list[Clip]
    evidence: Float32  # float32[N, K], see `model.Verdict`

    def joined(self, other: "Judged") -> "Judged":
        """These clips, then others."""
        return Judged([*self.clips, *other.clips], np.concatenate([self.evidence, other.evidence]))

    @property
    def labels(self) -> Float32:
        """Labels 1, 0 or NaN, float32[N, 5]."""
        return np.array([[clip.labels[defect] for defect in Defect] for clip in self.clips], np.float32)

    @property
    def sources(self) -> npt.NDArray[np.str_]:
        """Where each clip comes from, str[N]."""
        return np.array([clip.source for clip in self.clips])

    def logits(self, weights: Float32) -> Float32:
        """Logits float32[N, 5] of clips by weights float32[5, K] of the evidence."""
        return np.asarray(self.evidence @ weights.T, np.float32)


def main() -> None:
    """Read the command line, write the mean and its calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+", help="weights of networks that were trained from the same")
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, help="manifests of labelled clips")
    parser.add_argument("--mix", type=Defect, nargs="+", default=[], help="defects that are judged by all logits")
    parser.add_argument("--by", type=Path, help="weights whose logits --mix is learnt from")
    parser.add_argument("--on", type=Path, nargs="+", help="manifests of recordings that those have not learnt from")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], help="and of as many mixtures of yet others")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / WEIGHTS_FILE
    save_file(mean(options.weights), target)
    network = read_network(target)
    known = judged(network, options.calibrate)
    labels, apart_from_it = known.labels, []
    if options.mix:
        by = read_network(options.by)
        recorded, made = judged(by, options.on), judged(by, options.beside)
        weigh(network, recorded.joined(made), options.mix)
        apart_from_it = [apart(network, recorded, made, options.mix)]
        labels = np.concatenate([labels, recorded.labels])
    logits = np.concatenate([known.logits(weights_of(network)), *apart_from_it])
    found = calibrate(logits, labels, logits[(labels == 0).all(1)])
    network.calibration.copy_(torch.tensor([[one.slope, one.offset] for one in found.values()]))
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, target)
    report = {defect.value: asdict(one) for defect, one in found.items()}
    (options.output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def mean(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of each tensor over files of weights; counters are those of the first."""
    states = [read_network(file).state_dict() for file in files]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }


def weigh(network: Network, unmet: Judged, defects: Sequence[Defect]) -> None:
    """Let a network judge some defects by all evidence, weighed by clips that the evidence was not learnt from."""
    for column, defect in enumerate(Defect):
        if defect in defects:
            weights = stacked(admitted(unmet.evidence, defect), unmet.labels[:, column], unmet.sources)
            network.mix[column] = torch.from_numpy(weights[: len(Defect)])
            network.band[column] = float(weights[len(Defect)])


def weights_of(network: Network) -> Float32:
    """What each piece of evidence counts for each defect, float32[5, K]."""
    return torch.cat([network.mix, network.band[:, None]], 1).numpy()


def apart(network: Network, recorded: Judged, made: Judged, defects: Sequence[Defect]) -> Float32:
    """Logits float32[N, 5] of recordings; those of some defects by weights that are learnt without a clip's source."""
    logits, unmet = recorded.logits(weights_of(network)), recorded.joined(made)
    for column, defect in enumerate(Defect):
        if defect in defects:
            scores = judged_apart(admitted(unmet.evidence, defect), unmet.labels[:, column], unmet.sources)
            logits[:, column] = scores[: len(recorded.clips)]
    return logits


@torch.inference_mode()
def judged(network: Network, manifests: Sequence[Path]) -> Judged:
    """What a network finds in the clips of manifests; unreadable clips are left out."""
    clips, evidence = [], []
    for clip in (clip for manifest in manifests for clip in read_manifest(manifest)):
        try:
            wave = levelled(read_wave(clip.path, clip.part))
        except UnreadableError:
            continue
        padded = torch.from_numpy(np.pad(wave, (0, -len(wave) % FRAME)))[None]
        evidence.append(network(padded, torch.tensor([len(wave)])).evidence[0].numpy())
        clips.append(clip)
    return Judged(clips, np.array(evidence, np.float32).reshape(-1, EVIDENCE))


if __name__ == "__main__":
    main()
