"""What a run does up to fetching, without Beam."""

from collections import defaultdict

from speechmill.core.build import Build
from speechmill.core.records import Recording
from speechmill.stages.fetch import fetch_recording, list_input
from speechmill.stages.identity import Claims, load_registry, placeholder
from speechmill.stages.known import recalled, write_index


def listed_by(build: Build) -> list[Recording]:
    """What the inputs of a build and the corpus itself list, each fetched, as a run does it."""
    write_index(build)
    known = [placeholder(one) for one in recalled(build)]
    registry, claims, same = load_registry(build), list[Claims](), defaultdict(list)
    for source in build.config.inputs:
        for one in list_input(source, build):
            settled = registry.settle(one)
            claims += [settled] if isinstance(settled, Claims) else []
            same[settled.recording.recording_id].append(settled) if not isinstance(settled, Claims) else None
    for one in [*registry.resolve(reversed(claims)), *known]:
        same[one.recording.recording_id].append(one)
    found = [one for group in same.values() for one in registry.distinct(group, build)]
    for one in found:
        fetch_recording(one, build)
    return [one.recording for one in found]
