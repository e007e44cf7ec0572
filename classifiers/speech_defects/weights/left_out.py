r"""Measures on recordings what the scores say of sources that they have not learnt from, source by source.

    python -m speech_defects.weights.left_out my-models/defects.safetensors --mix noise telephone \
        --by first/defects.safetensors --on real/manifest.jsonl --beside clips/some.jsonl --output left-out

The options are those of combine.py: the logits are those of `--by`, which has not met the recordings, weighed for each
source by weights that are learnt without it. Slope and offset of a score are those of the first argument, and not left
out. Writes defects.json and defects.html as `speechmill evaluate defects` does, with the loss of clean recordings by
source and language, and beside each score that of a defect's own logit alone; prints a table. Intervals draw whole
sources.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from speech_defects import RATE, Defect, Float32
from speech_defects.evaluate import publish
from speech_defects.evaluate.baselines import Figure
from speech_defects.evaluate.clips import read_wave
from speech_defects.evaluate.tables import OURS, Column, Floats, Plain, Scored
from speech_defects.model import Network
from speech_defects.scorer import read_network
from speech_defects.weights.combine import Judged, apart, judged

ALONE = "its own logit"
ROWS = {  # by keys of a defect's figures
    "clips with it": "{against_clean[positives]}",
    "AUC against clean": "{against_clean[auc]:.3f}",
    "EER": "{against_clean[eer]:.1%}",
    "missed where 2 % of the clean are lost": "{against_clean[miss_at][0.02]:.0%}",
    "missed at the threshold": "{missed:.0%}",
    "clean lost at the threshold": "{clean_lost:.1%}",
    "expected calibration error": "{calibration_error:.1%}",
}


def main() -> None:
    """Read the command line, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="weights with a calibration")
    parser.add_argument("--mix", type=Defect, nargs="+", default=[], help="defects that are judged by all logits")
    parser.add_argument("--by", type=Path, required=True, help="weights that have not met the recordings")
    parser.add_argument("--on", type=Path, nargs="+", required=True, help="manifests of recordings")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], help="manifests of mixtures to learn from, too")
    parser.add_argument("--thresholds", nargs="+", default=[], help="e.g. noise=0.8; else such as lose 3 %% here")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    network, by = read_network(options.weights), read_network(options.by)
    recorded, made = judged(by, options.on), judged(by, options.beside)
    scored = scored_apart(network, recorded, made, options.mix)
    limits = {name: float(value) for name, _, value in (text.partition("=") for text in options.thresholds)}
    facts = {"manifest": options.on[0].name, "profile": "sources left out", "missing": {}, "packages": {}}
    print(table(publish(scored, options.output, limits, facts)))


def scored_apart(network: Network, recorded: Judged, made: Judged, defects: Sequence[Defect]) -> Scored:
    """Recordings with calibrated scores, each by weights without its source, and the defects' own logits beside."""
    slope, offset = network.calibration.numpy().T
    scores = expit(apart(network, recorded, made, defects) * slope + offset)
    by_source = [replace(clip, speaker="") for clip in recorded.clips]  # intervals are drawn by source
    seconds = np.array([len(read_wave(clip.path, clip.part)) / RATE for clip in recorded.clips])
    return Scored(by_source, seconds, _columns(scores), _alone(recorded), {OURS: math.nan, ALONE: math.nan}, [])


def _columns(scores: Float32) -> dict[str, Floats]:
    return {defect.value: scores[:, at].astype(np.float64) for at, defect in enumerate(Defect)}


def _alone(recorded: Judged) -> dict[str, Column]:
    """Logits of each defect alone, as if of another tool."""
    return {
        f"{ALONE}, {defect.value}": Column(ALONE, Figure((defect,), more_is_worse=True), values)
        for defect, values in zip(Defect, recorded.evidence.T.astype(np.float64), strict=False)
    }


def table(figures: Plain) -> str:
    """Figures in Markdown: those of each defect and of its own logit alone, then the clean clips that all five lose."""
    rows = {name: [form.format(**figures["defects"][defect]) for defect in Defect] for name, form in ROWS.items()}
    kept = figures["rules"][f"{OURS}, five thresholds"]
    rows["kept by all five"] = [f"{kept[defect]:.0%}" for defect in Defect]
    ours, *alone = (model["defects"] for model in figures["models"])
    rows["AUC and its interval"] = [_interval(ours[defect]) for defect in Defect]
    own = {defect: figures for defects in alone for defect, figures in defects.items()}
    rows[f"AUC of {ALONE}"] = [_interval(own[defect]) for defect in Defect]
    lines = ["| | " + " | ".join(Defect) + " |", "|---|" + "---|" * len(Defect)]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    lost = {part: lost for part, lost in figures["clean_lost"].items() if lost["any"]}
    return "\n".join(
        [*lines, "", *(f"{part}: {one['any']:.1%} of {one['clips']} clean lost" for part, one in lost.items())]
    )


def _interval(figures: Plain) -> str:
    return "{auc:.3f} ({auc_interval[0]:.3f}–{auc_interval[1]:.3f})".format(**figures)


if __name__ == "__main__":
    main()
