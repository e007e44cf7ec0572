"""Evaluates a speaker model on clips whose speakers are known: verification, clustering, and the worst errors."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from speech_defects.evaluate.metrics import eer

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.speakers import SAMPLE_RATE_HZ, Embedder
from speechmill.speakers.clusters import Calibration, cluster_clips
from speechmill.training import pages
from speechmill.training.clip_sound import Float32, sound
from speechmill.training.inputs import Clip, Clips

FIGURES_FILE, PAGE_FILE = "speakers.json", "speakers.html"
HERE = Path(__file__).parent
MOST_CLIPS = 5_000  # all pairs of them are compared
SHORTEST_S = 0.5
WORST = 20  # pairs of each kind
BINS = 50  # of cosines in [-1, 1]
DRAWS = 200
PAIRS_IN_A_DRAW = 200_000

Plain = dict[str, Any]
Progress = Callable[[str], None]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All pairs of clips: indices of both, their cosine similarity, and whether one speaker says both; [n] each."""

    first: Indices
    second: Indices
    cosine: npt.NDArray[np.float32]
    is_same: npt.NDArray[np.bool_]


def evaluate(
    clips: Clips, model: Embedder, output: Path, *, calibration: Calibration, about: Plain,
    limit: int | None = None, progress: Progress = lambda _: None,
) -> Plain:  # fmt: skip
    """Embed all clips, write FIGURES_FILE and PAGE_FILE, and return the content of the former.

    Args:
        clips: Clips with speakers.
        model: The speaker model.
        output: Folder to write to.
        calibration: What a cosine of the model is worth, for clustering.
        about: Description of the model.
        limit: Most clips, evenly spaced; MOST_CLIPS at most.
        progress: Called with messages.

    Raises:
        ValueError: There are fewer than two speakers, or no speaker with two clips.
    """
    named = [clip for clip in clips.clips if clip.speaker]
    chosen = _evenly(named, min(limit or MOST_CLIPS, MOST_CLIPS))
    _check(chosen, clips.name)
    embedded, embeddings, left_out, seconds, cost_s = _embed(chosen, model, progress)
    _check(embedded, clips.name)
    names = np.array([clip.speaker for clip in embedded])
    pairs = all_pairs(embeddings, names)
    report: Plain = {
        "clips_from": clips.name, "kind": clips.kind, "speaker_model": about,
        "clips": len(embedded), "speakers": len(set(names)), "hours": seconds / 3600,
        "x_real_time": seconds / max(cost_s, 1e-9), "without_speaker": len(clips.clips) - len(named),
        "not_taken": len(named) - len(chosen), "left_out": left_out,
        "verification": verification(pairs, names), "clustering": clustering(embeddings, names, calibration),
        "histogram": histogram(pairs), "worst": _worst(pairs, embedded),
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / FIGURES_FILE).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(page(report, embedded), encoding="utf-8")
    return report


def _evenly(clips: Sequence[Clip], most: int) -> list[Clip]:
    count = min(most, len(clips))
    return [clips[at * len(clips) // count] for at in range(count)]


def _check(clips: Sequence[Clip], name: str) -> None:
    """Raise ValueError where clips cannot be compared."""
    counts = Counter(clip.speaker for clip in clips)
    if len(counts) < 2 or max(counts.values()) < 2:
        raise ValueError(f"{name}: {len(counts)} speakers, of whom none has two clips" if len(counts) > 1 else
                         f"{name}: needs clips of two speakers or more, each line with its 'speaker'")  # fmt: skip


def _embed(
    clips: Sequence[Clip], model: Embedder, progress: Progress
) -> tuple[list[Clip], Float32, list[Plain], float, float]:
    """Clips that could be embedded, float32[n, D] embeddings, the others with reasons, and seconds of sound and CPU."""
    embedded, rows, left_out, seconds, cost_s = [], [], [], 0.0, 0.0
    for number, clip in enumerate(clips, 1):
        try:
            wave = sound(clip)
            if wave.size < SHORTEST_S * SAMPLE_RATE_HZ:
                raise RejectedError(Reason.EMPTY, f"shorter than {SHORTEST_S:g} s")
        except RejectedError as rejected:
            row = {"file": clip.file, "source": clip.source, "reason": rejected.reason, "why": rejected.detail}
            left_out.append(row)
            continue
        began = time.process_time()
        rows.append(model.embed([wave])[0])
        cost_s += time.process_time() - began
        seconds += wave.size / SAMPLE_RATE_HZ
        embedded.append(clip)
        progress(f"{number} of {len(clips)} clips")
    return embedded, np.array(rows, np.float32), left_out, seconds, cost_s


def all_pairs(embeddings: Float32, names: npt.NDArray[np.str_]) -> Pairs:
    """Pairs of different clips, from float32[n, D] rows of length 1 and the speaker of each row."""
    first, second = np.triu_indices(len(names), 1)
    cosine = (embeddings @ embeddings.T)[first, second].astype(np.float32)
    return Pairs(first=first, second=second, cosine=cosine, is_same=names[first] == names[second])


def verification(pairs: Pairs, names: npt.NDArray[np.str_]) -> Plain:
    """Equal error rate of telling whether two clips are of one speaker, with a 95 % interval by drawing speakers."""
    same, different = pairs.cosine[pairs.is_same], pairs.cosine[~pairs.is_same]
    low, high = np.percentile(list(_draws(pairs, names)), [2.5, 97.5])
    return {
        "eer": eer(same, different), "low": float(low), "high": float(high),
        "same_pairs": len(same), "different_pairs": len(different),
    }  # fmt: skip


def _draws(pairs: Pairs, names: npt.NDArray[np.str_]) -> list[float]:
    """Equal error rates of the pairs between speakers drawn with replacement (cluster bootstrap)."""
    speakers, owner = np.unique(names, return_inverse=True)
    random = np.random.default_rng(0)
    some = random.permutation(len(pairs.cosine))[:PAIRS_IN_A_DRAW]
    some = np.union1d(some, random.permutation(np.flatnonzero(pairs.is_same))[:PAIRS_IN_A_DRAW])
    cosine, is_same = pairs.cosine[some], pairs.is_same[some]
    first, second = owner[pairs.first[some]], owner[pairs.second[some]]
    rates = []
    for _ in range(DRAWS):
        times = np.bincount(random.integers(len(speakers), size=len(speakers)), minlength=len(speakers))
        weight = np.where(is_same, times[first], times[first] * times[second])
        repeated = np.repeat(np.arange(len(some)), weight)
        rate = eer(cosine[repeated][is_same[repeated]], cosine[repeated][~is_same[repeated]])
        rates += [rate] if np.isfinite(rate) else []
    return rates or [float("nan")]


def clustering(embeddings: Float32, names: npt.NDArray[np.str_], calibration: Calibration) -> Plain:
    """What speaker clustering makes of the clips, as if they were of one recording.

    BCubed precision and recall (Bagga & Baldwin 1998): the mean share of a clip's cluster that its speaker says, and of
    its speaker's clips that are in its cluster.
    """
    width = len(str(len(names)))
    ids = [f"{at:0{width}}" for at in range(len(names))]
    cluster_of, clusters = cluster_clips(ids, embeddings, calibration)
    both = Counter(zip(cluster_of.tolist(), names.tolist(), strict=True))
    in_cluster, of_speaker = Counter(cluster_of.tolist()), Counter(names.tolist())
    main = Counter[int]()
    for (cluster, _), count in both.items():
        main[cluster] = max(main[cluster], count)
    total = len(names)
    return {
        "clusters": len(in_cluster),
        "precision": sum(n * n / in_cluster[cluster] for (cluster, _), n in both.items()) / total,
        "recall": sum(n * n / of_speaker[name] for (_, name), n in both.items()) / total,
        "purity": sum(main.values()) / total,
        "expected_purity": float(clusters.pure.sum() / total),
        "threshold": float(calibration.least(max(len(in_cluster), 1))),
    }


def histogram(pairs: Pairs) -> dict[str, list[int]]:
    """Pairs by cosine, in BINS bins of [-1, 1], of the same and of different speakers."""
    kinds = {"same": pairs.is_same, "different": ~pairs.is_same}
    return {kind: np.histogram(pairs.cosine[of], BINS, (-1, 1))[0].tolist() for kind, of in kinds.items()}


def _worst(pairs: Pairs, clips: Sequence[Clip]) -> dict[str, list[Plain]]:
    """The most alike pairs of different speakers, and the least alike of the same; a clip stands in one pair only."""
    by_cosine = np.argsort(pairs.cosine, kind="stable")
    kinds = {"different": by_cosine[~pairs.is_same[by_cosine]][::-1], "same": by_cosine[pairs.is_same[by_cosine]]}
    return {kind: _distinct(order, pairs, clips) for kind, order in kinds.items()}


def _distinct(order: Indices, pairs: Pairs, clips: Sequence[Clip]) -> list[Plain]:
    seen, rows = set[int](), []
    for at in order.tolist():
        both = [int(pairs.first[at]), int(pairs.second[at])]
        if seen.isdisjoint(both):
            seen.update(both)
            own = [{"file": clips[i].file, "source": clips[i].source, "speaker": clips[i].speaker} for i in both]
            rows.append({"cosine": round(float(pairs.cosine[at]), 3), "at": both, "clips": own})
        if len(rows) == WORST:
            break
    return rows


def page(report: Plain, clips: Sequence[Clip]) -> str:
    """Render the figures as one page, with the sound of the worst pairs."""
    shown = {at for rows in report["worst"].values() for row in rows for at in row["at"]}
    sounds = {at: pages.mp3(sound(clips[at])) for at in sorted(shown)}
    return pages.render(HERE / "page.html", found=report, sounds=sounds, bars=_bars(report["histogram"]))


WIDTH, HEIGHT = 640, 150


def _bars(counts: dict[str, list[int]]) -> list[Plain]:
    """Bars of the same speaker upwards and of different speakers downwards; heights are square roots of the shares."""
    bars = []
    for kind, pairs in counts.items():
        for number, count in enumerate(pairs):
            height = (count / max(pairs)) ** 0.5 * HEIGHT / 2 if count else 0.0
            y = HEIGHT / 2 - (height if kind == "same" else 0)
            bars.append({"kind": kind, "x": WIDTH * number / BINS, "y": y, "height": height, "pairs": count})
    return [bar | {"width": WIDTH / BINS * 0.9} for bar in bars if bar["pairs"]]
