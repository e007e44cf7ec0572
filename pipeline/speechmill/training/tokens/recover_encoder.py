"""Recovers an encoder from pairs of spectrograms and tokens: `speechmill train mel-tokens --from-pairs`.

A dVAE whose encoder is lost can still be learnt from its tokens. TorToiSe's encoder was withheld, but its GPT and
decoder make any number of (audio, tokens) pairs; 152334H proposed in 2023 ("Why can't TorToiSe be fine-tuned?") to
learn f' ≈ f from them. Here in three stages: many pairs of any quality, then fewer good ones, then speech
without tokens through the frozen decoder, if there is one. The target is always the token: the nearest code
must be the given one.

The codebook may be known. If not, each code is initialised where its spectrograms are, as the initial encoder
sees them; and a consumer's token embeddings, in which codes with similar sound are near each other, tell where
codes with few pairs are.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from speechmill.tokens.dvae import save
from speechmill.training.tokens.pairs import Pairs, collect
from speechmill.training.tokens.student import Recipe, Recovery

__all__ = ["REPORT_FILE", "STATE_FILE", "WEIGHTS_FILE", "Recipe", "recover_encoder"]

WEIGHTS_FILE, REPORT_FILE, STATE_FILE = "recovered.safetensors", "recovered.json", "recovered.pt"
CURVE_CLIPS = 40  # of the test clips, for the curve
PROGRESS_S, SAVE_S = 5.0, 120.0

Progress = Callable[[str], None]


def recover_encoder(recipe: Recipe, output: Path, *, device: str, progress: Progress = print) -> dict[str, Any]:
    """Train an encoder, write WEIGHTS_FILE and REPORT_FILE, and return the content of the latter.

    An interrupted run continues from STATE_FILE.

    Args:
        recipe: What to recover it from, and how.
        output: Folder to write to.
        device: cpu or cuda.
        progress: Called with messages.

    Raises:
        ValueError: Pairs cannot be used.
        OSError: Pairs cannot be read.
    """
    pairs = collect(recipe.pairs, output / "pairs", progress)
    good = collect(recipe.good_pairs, output / "good", progress) if recipe.good_pairs else None
    if recipe.test_pairs:
        test = collect(recipe.test_pairs, output / "test", progress)
    else:
        pairs, test = pairs.split(recipe.held_out, recipe.seed)
    pairs = pairs.limited(recipe.hours)
    if not pairs.clips or not test.clips:
        raise ValueError("pairs of one speaker only: give test_pairs, or pairs of more speakers")
    recovery = Recovery(recipe, device)
    highest = max(int(part.tokens.max()) for part in (pairs, test, good) if part is not None)
    if highest >= len(recovery.student.embed):
        fix = "set codes, or give the codebook that they are of"
        raise ValueError(f"a token is {highest}, and there are {len(recovery.student.embed)} codes; {fix}")
    curve = _run(recovery, pairs, good, test, output / STATE_FILE, progress)
    report = {
        "recipe": json.loads(recipe.model_dump_json()) | dict.fromkeys(("pairs", "good_pairs", "test_pairs")),
        "hours": pairs.hours, "test_hours": test.hours, "curve": curve,
        "codes_told": len(set().union(*(pairs.of(clip)[1].tolist() for clip in pairs.clips))),
        "test": recovery.judge(test, pairs),
    }  # fmt: skip
    save(recovery.finished(), output / WEIGHTS_FILE)
    (output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _run(
    recovery: Recovery, pairs: Pairs, good: Pairs | None, test: Pairs, state: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Train all stages; returns the curve."""
    curve: list[dict[str, Any]] = []
    curve_clips = Pairs(test.mels, test.tokens, test.clips[:: max(1, len(test.clips) // CURVE_CLIPS)])
    stored = torch.load(state, weights_only=True) if state.exists() else None
    if stored is None:
        recovery.begin(pairs)
        curve.append({"step": 0, **_brief(recovery.judge(curve_clips))})
    else:
        recovery.student.load_state_dict(stored["student"])
        recovery.step, curve = stored["step"], stored["curve"]
    reported = saved = time.monotonic()
    before = 0
    for stage, source, steps, highest in recovery.stages(pairs, good):
        optimizer = torch.optim.AdamW(recovery.student.parameters(), highest, betas=(0.9, 0.99), weight_decay=0.01)
        if stored is not None and before <= recovery.step < before + steps and stored["optimizer"]:
            optimizer.load_state_dict(stored["optimizer"])
        while recovery.step < before + steps:
            done = (recovery.step - before) / steps
            rate = highest * min(1.0, 20 * done + 0.01) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = recovery.learn(stage, source, optimizer)
            if recovery.step % max(1, steps // 10) == 0:
                curve.append(
                    {"step": recovery.step, "stage": stage, "loss": loss, **_brief(recovery.judge(curve_clips))}
                )
            if time.monotonic() - reported > PROGRESS_S:
                reported = time.monotonic()
                progress(f"{stage}: step {recovery.step} of {before + steps}, loss {loss:.3f}")
            if time.monotonic() - saved > SAVE_S:
                saved = time.monotonic()
                _keep(state, recovery, optimizer, curve)
        before += steps
    return curve


def _brief(measures: dict[str, Any]) -> dict[str, float]:
    return {key: measures[key] for key in ("top1", "top5", "distance")}


def _keep(path: Path, recovery: Recovery, optimizer: torch.optim.Optimizer, curve: list[dict[str, Any]]) -> None:
    unfinished = path.with_suffix(".tmp")
    parts = {"student": recovery.student.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(parts | {"step": recovery.step, "curve": curve}, unfinished)
    unfinished.replace(path)
