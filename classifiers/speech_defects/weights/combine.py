r"""Averages networks that were trained from the same weights on different sources, and calibrates the mean on others.

    python -m speech_defects.weights.combine one/defects.safetensors two/defects.safetensors \
        --calibrate clips/manifest.jsonl --output my-models

Networks that began as one lie in one valley, and their mean knows what each has learnt, at the speed of one
(Wortsman et al., "Model soups", 2022). Scores and default thresholds follow from labelled clips, as `speechmill
evaluate defects` reads them. Writes defects.safetensors and calibration.json.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from speech_defects import FRAME, Defect
from speech_defects.calibrate import calibrate
from speech_defects.evaluate.clips import UnreadableError, read_manifest, read_wave
from speech_defects.model import Network, levelled
from speech_defects.scorer import read_network

WEIGHTS_FILE, REPORT_FILE = "defects.safetensors", "calibration.json"


def main() -> None:
    """Read the command line, write the mean and its calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+", help="weights of networks that were trained from the same")
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, help="manifests of labelled clips")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / WEIGHTS_FILE
    save_file(mean(options.weights), target)
    network = read_network(target)
    parts = [judged(network, manifest) for manifest in options.calibrate]
    logits, labels = (np.concatenate(part) for part in zip(*parts))
    found = calibrate(logits, labels, logits[(labels == 0).all(1)])
    network.calibration.copy_(torch.tensor([[one.slope, one.offset] for one in found.values()]))
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, target)
    report = {defect.value: asdict(one) for defect, one in found.items()}
    (options.output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def mean(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of each tensor over files of weights; counters are those of the first."""
    states = [load_file(file) for file in files]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }


@torch.inference_mode()
def judged(network: Network, manifest: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits and labels of the clips of a manifest, float32[N, 5] each; unreadable clips are left out."""
    logits, labels = [], []
    for clip in read_manifest(manifest):
        try:
            wave = levelled(read_wave(clip.path, clip.part))
        except UnreadableError:
            continue
        padded = torch.from_numpy(np.pad(wave, (0, -len(wave) % FRAME)))[None]
        logits.append(network(padded, torch.tensor([len(wave)])).clips[0].numpy())
        labels.append([clip.labels[defect] for defect in Defect])
    return np.stack(logits), np.array(labels, np.float32)


if __name__ == "__main__":
    main()
