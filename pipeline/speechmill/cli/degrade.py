"""The command `degrade`: makes labelled clips from clean speech, to train and evaluate the defect classifiers on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from speechmill.cli.errors import config_errors
from speechmill.cli.evaluate import EVALUATE_DEFECTS_EXAMPLES
from speechmill.cli.options import json_option, new_folder_option, quiet_option
from speechmill.cli.output import print_result

SHORTEST_S, LONGEST_S = 0.5, 60  # clips that the classifiers accept


@click.command(epilog=EVALUATE_DEFECTS_EXAMPLES)
@click.argument("manifests", metavar="MANIFEST.jsonl...", nargs=-1, required=True)
@new_folder_option
@click.option("--clips", default=1000, show_default=True, type=click.IntRange(0), help="How many to make.")
@click.option("--seconds", default=(4.0, 15.0), show_default=True, type=(float, float), help="Shortest and longest.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@quiet_option
@json_option
def degrade(
    manifests: tuple[str, ...], output: str, clips: int, seconds: tuple[float, float], seed: int, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Make labelled clips: speech with known noise, music, other voices, rooms and telephones."""
    result = write_labelled_clips(manifests, output, clips=clips, seconds=seconds, seed=seed, quiet=quiet)
    print_result(result, as_json=as_json)
    return 0


def write_labelled_clips(
    manifests: Sequence[str], output: str, *, clips: int, seconds: tuple[float, float], seed: int, quiet: bool
) -> dict[str, Any]:
    """Write labelled clips with a manifest.

    Args:
        manifests: JSONL files of clean speech, noise, music and rooms.
        output: Folder to write.
        clips: Number of clips to make.
        seconds: Lengths of the shortest and of the longest clip.
        seed: Seed of all random choices.
        quiet: Show no progress.

    Returns:
        The number of `clips`, and the path of their `manifest`.

    Raises:
        ConfigError: A length is out of range, a manifest cannot be used, or the folder has other files.
    """
    from speechmill.core.config_errors import ConfigError
    from speechmill.core.processes import usable_cores
    from speechmill.runner.statusline import StatusLine
    from speechmill.training.outputs import claim

    shortest, longest = seconds
    if not SHORTEST_S <= shortest <= longest <= LONGEST_S:
        fix = f"give the shortest, then the longest, within {SHORTEST_S} to {LONGEST_S}"
        raise ConfigError(f"--seconds {shortest} {longest}: {fix}")
    with config_errors():
        from speech_defects.degrade import labelled, read_manifests

        sources = read_manifests([Path(manifest) for manifest in manifests])
        folder = claim(output, (labelled.MANIFEST, "clips"))
        with StatusLine(quiet=quiet) as line:
            manifest = labelled.write(
                sources, folder, count=clips, seconds=seconds, seed=seed, workers=usable_cores(),
                progress=lambda done, total: line(f"{done} of {total} clips made"),
            )  # fmt: skip
    return {"clips": len(manifest.read_text(encoding="utf-8").splitlines()), "manifest": str(manifest)}
