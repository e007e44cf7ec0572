"""Fits what finds a second voice within a turn, speakers/second_voice.py, and measures it on other readers.

    python -m tests.benchmarks.second_voice --data DIR [--pairs 12] [--seed 5]

Dialogues are made as for `tests.benchmarks.voices --tuning`. The weights that are printed are of all readers; the
figures beneath are those of weights that were fitted without the readers that they are measured on.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from speechmill.core.records import NOBODY
from speechmill.speakers import second_voice
from speechmill.speakers.steps import pauses_before, speech_steps
from speechmill.speakers.turns import SEVERAL, TurnDetector

from tests.benchmarks.dialogues import Readers, episodes
from tests.benchmarks.voices import Heard, Models, prepare

PENALTY = 1e-3  # of squared weights, features being of variance 1
FALSE_ALARMS = (0.01, 0.003)  # shares of the steps of one voice
HELD_OUT = 3  # of ten readers

Float64 = npt.NDArray[np.float64]


@dataclass
class Examples:
    """Steps that turns gave to one voice."""

    features: Float64  # float64[n, 6]
    second: npt.NDArray[np.bool_]  # whether another one speaks as well, or instead

    @staticmethod
    def joined(parts: "list[Examples]") -> "Examples":
        """Those of several episodes."""
        return Examples(np.concatenate([p.features for p in parts]), np.concatenate([p.second for p in parts]))


def examples(heard: Heard, models: Models) -> Examples:
    """The steps of an episode."""
    detector, speech = TurnDetector(models.statistics), speech_steps(heard.marks)
    overlap = models.overlap.probabilities(heard.wave)
    detector.feed(heard.wave, speech, pauses_before(heard.marks, speech), overlap)
    detector.finish()
    labels, likeness = np.full(speech.size, NOBODY, np.int16), np.zeros((speech.size, second_voice.COSINES), np.float32)
    for places, found, cosines in detector._labels:
        labels[places], likeness[places] = found, cosines
    truth = heard.episode.truth()[: 10 * speech.size]
    truth = np.pad(truth, ((0, 10 * speech.size - len(truth)), (0, 0))).reshape(speech.size, 10, -1).mean(axis=1)
    for voice in np.unique(labels[labels > SEVERAL]):
        truth[labels == voice, truth[labels == voice].sum(axis=0).argmax()] = 0  # whose voice it is
    is_one = labels != NOBODY
    features = second_voice.features(overlap, likeness)
    return Examples(features[is_one], truth[is_one].max(axis=1) > 0.5)


def fitted(given: Examples) -> tuple[Float64, float]:
    """Weights float64[6] and the bias of the likeliest logistic regression."""
    mean, spread = given.features.mean(axis=0), given.features.std(axis=0)
    inputs, signs = (given.features - mean) / spread, np.where(given.second, 1.0, -1.0)

    def loss(weights: Float64) -> tuple[float, Float64]:
        margins = signs * (inputs @ weights[:-1] + weights[-1])
        slopes = -signs / (1 + np.exp(margins)) / len(signs)
        penalty = PENALTY * np.append(weights[:-1], 0.0)
        value = np.logaddexp(0, -margins).mean() + 0.5 * penalty @ weights
        return float(value), np.append(slopes @ inputs, slopes.sum()) + penalty

    found: Any = minimize(loss, np.zeros(inputs.shape[1] + 1), jac=True, method="L-BFGS-B")
    weights = found.x[:-1] / spread
    return weights, float(found.x[-1] - weights @ mean)


def recalls(scores: Float64, second: npt.NDArray[np.bool_]) -> list[float]:
    """Shares of the steps with a second voice that are found at each of FALSE_ALARMS."""
    return [float((scores[second] > np.quantile(scores[~second], 1 - share)).mean()) for share in FALSE_ALARMS]


def main() -> None:
    """Print the weights and the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.second_voice",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--pairs", type=int, default=12, help="pairs of one sex, and as many of any, for each scene")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    readers, models = Readers(options.data), Models()
    everybody = readers.speakers(tests=False)
    sides = [[name for at, name in enumerate(everybody) if (at % 10 < HELD_OUT) == is_out] for is_out in (False, True)]
    fit, test = (
        Examples.joined(
            [examples(prepare(one), models) for one in episodes(readers, names, pairs=options.pairs, seed=options.seed)]
        )
        for names in sides
    )
    weights, bias = fitted(Examples.joined([fit, test]))
    print(f"WEIGHTS = ({', '.join(f'{weight:.3f}' for weight in weights)})\nBIAS = {bias:.3f}\n")
    apart = fitted(fit)[0]
    rows: dict[str, Callable[[Float64], Float64]] = {
        "overlap alone": lambda features: features[:, 0],
        "cosine alone": lambda features: -features[:, 4],
        "all": lambda features: features @ apart,
    }
    print(f"{test.second.sum()} of {test.second.size} steps have a second voice; found at false alarms of 1 and 0.3 %:")
    for name, score in rows.items():
        print(f"{name:14}", *(f"{share:.0%}" for share in recalls(score(test.features), test.second)))


if __name__ == "__main__":
    main()
