r"""Averages networks that were trained from the same weights on different sources, and calibrates the mean on others.

    python -m speech_defects.weights.combine one/defects.safetensors two/defects.safetensors \
        --mix noise --by first/defects.safetensors --on real/manifest.jsonl clips/manifest.jsonl \
        --calibrate clips/manifest.jsonl --output my-models

Networks that began as one lie in one valley, and their mean knows what each has learnt, at the speed of one
(Wortsman et al., "Model soups", 2022). What the logits of all defects say about one of them is learnt from those of
a network that has not met the recordings (`--by`, see stacking.py). Scores and default thresholds follow from labelled
clips, as `speechmill evaluate defects` reads them. Writes defects.safetensors and calibration.json.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from speech_defects import FRAME, Defect, Float32
from speech_defects.calibrate import calibrate
from speech_defects.evaluate.clips import UnreadableError, read_manifest, read_wave
from speech_defects.model import Network, levelled
from speech_defects.scorer import read_network
from speech_defects.stacking import stacked

WEIGHTS_FILE, REPORT_FILE = "defects.safetensors", "calibration.json"


def main() -> None:
    """Read the command line, write the mean and its calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+", help="weights of networks that were trained from the same")
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, help="manifests of labelled clips")
    parser.add_argument("--mix", type=Defect, choices=list(Defect), help="defect that is judged by all logits")
    parser.add_argument("--by", type=Path, help="weights whose logits --mix is learnt from")
    parser.add_argument("--on", type=Path, nargs="+", help="manifests of recordings that those have not learnt from")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / WEIGHTS_FILE
    save_file(mean(options.weights), target)
    network = read_network(target)
    if options.mix:
        logits, labels, sources = judged_all(read_network(options.by), options.on)
        column = list(Defect).index(options.mix)
        network.mix[column] = torch.from_numpy(stacked(logits, labels[:, column], sources))
    logits, labels, _ = judged_all(network, options.calibrate)
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


def judged_all(network: Network, manifests: Sequence[Path]) -> tuple[Float32, Float32, npt.NDArray[np.str_]]:
    """See `judged`, of several manifests."""
    logits, labels, sources = zip(*(judged(network, manifest) for manifest in manifests), strict=True)
    return np.concatenate(logits), np.concatenate(labels), np.concatenate(sources)


@torch.inference_mode()
def judged(network: Network, manifest: Path) -> tuple[Float32, Float32, npt.NDArray[np.str_]]:
    """Logits and labels of the clips of a manifest, float32[N, 5] each, and their sources; without unreadable clips."""
    logits, labels, sources = [], [], []
    for clip in read_manifest(manifest):
        try:
            wave = levelled(read_wave(clip.path, clip.part))
        except UnreadableError:
            continue
        padded = torch.from_numpy(np.pad(wave, (0, -len(wave) % FRAME)))[None]
        logits.append(network(padded, torch.tensor([len(wave)])).clips[0].numpy())
        labels.append([clip.labels[defect] for defect in Defect])
        sources.append(clip.source)
    return np.stack(logits), np.array(labels, np.float32), np.array(sources)


if __name__ == "__main__":
    main()
