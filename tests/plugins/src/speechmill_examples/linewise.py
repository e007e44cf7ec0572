from collections.abc import Iterator
from pathlib import Path

from speechmill.core.config import Input, RunConfig
from speechmill.core.records import Recording, stable_id
from speechmill.core.store import Store
from speechmill.sources import Listed, rest_of


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the files that are named on the lines of a text file."""
    for line in Path(rest_of(source.address, "linewise")).read_text().splitlines():
        recording_id = stable_id("linewise", line)
        licence = source.licence or config.licences.local
        recording = Recording(recording_id=recording_id, source="linewise", media_url=line, licence=licence)
        yield Listed(recording=recording, media_path=line)
