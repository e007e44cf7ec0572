"""How well the live view knows the end of a run: `python -m tests.benchmarks.forecasts [FILE…]`.

Runs that `tests.benchmarks.record_runs` recorded are replayed through the estimator: by default those of the tests.
"""

import argparse
from pathlib import Path

from tests.replayed import errors, read_recorded

RECORDED = Path(__file__).parents[1] / "unit/recorded_runs"
ALLOWED = 0.25


def main() -> None:
    """Replay runs, and print the errors of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.forecasts", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(RECORDED.glob("*.jsonl.gz")))
    print(f"{'run':24}{'seconds':>8}  {'within 25 %':>11}  {'worst':>6}  error of the end after 10 %, 25 %, 50 %, 75 %")
    for path in parser.parse_args().files:
        observations, forecast = read_recorded(path)
        found = errors(observations, forecast)
        within = sum(abs(error) <= ALLOWED for error in found) / len(found)
        worst = max(found, key=abs)
        after = "  ".join(f"{found[at]:+5.0%}" for at in (0, 15, 40, 65))
        name = path.name.removesuffix(".jsonl.gz")
        print(f"{name:24}{observations[-1][0]:8.0f}  {within:11.0%}  {worst:+6.0%}  {after}")


if __name__ == "__main__":
    main()
