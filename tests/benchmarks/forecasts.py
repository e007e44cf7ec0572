"""How well the live view knows the end of a run: `python -m tests.benchmarks.forecasts [FILE…]`.

Runs that `tests.benchmarks.record_runs` recorded are replayed through the estimator, by default those of the tests:
each as the first run on a machine, and with the speeds of an earlier one, which `--after` names.
"""

import argparse
from pathlib import Path

from speechmill.runner.forecast import Forecast

from tests.replayed import Observation, errors, learnt, read_recorded

RECORDED = Path(__file__).parents[1] / "unit/recorded_runs"
ALLOWED = 0.25


def main() -> None:
    """Replay runs, and print the errors of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.forecasts", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(RECORDED.glob("*.jsonl.gz")))
    parser.add_argument("--after", type=Path, default=RECORDED / "few_long.jsonl.gz", help="the earlier run")
    print(f"{'run':40}{'seconds':>8}  {'within 25 %':>11}  {'worst':>6}  error of the end after 10 %, 25 %, 50 %, 75 %")
    options = parser.parse_args()
    for path in options.files:
        observations, forecast = read_recorded(path)
        later = Forecast(learnt(forecast.models, options.after))
        name = path.name.removesuffix(".jsonl.gz")
        _show(name, observations, forecast)
        _show(f"{name}, after an earlier run", observations, later)


def _show(name: str, observations: list[Observation], forecast: Forecast) -> None:
    found = errors(observations, forecast)
    within = sum(abs(error) <= ALLOWED for error in found) / len(found)
    after = "  ".join(f"{found[at]:+5.0%}" for at in (0, 15, 40, 65))
    print(f"{name:40}{observations[-1][0]:8.0f}  {within:11.0%}  {max(found, key=abs):+6.0%}  {after}")


if __name__ == "__main__":
    main()
