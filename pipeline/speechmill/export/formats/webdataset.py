"""WebDataset: tar files in which the members of a clip, its audio, metadata and text, follow each other.

Read by webdataset, lhotse and, after `energon prepare`, Megatron Energon. A key ends at the first dot of a name.
"""

import json
from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Part


class WebDataset(Exporter):
    """`train-000000.tar` with `<id>.flac`, `<id>.json` and `<id>.txt`."""

    name = "webdataset"
    about = "tar files of <id>.flac, <id>.json and <id>.txt; read by webdataset, lhotse and Megatron Energon"
    loading = '`webdataset.WebDataset("train-000000.tar")` gives samples with the keys `flac`, `json` and `txt`.'
    kinds = ("flac", "wav", "opus")
    shares_audio = False
    needs_text = False
    columns = None
    unread = ("words", "mel_tokens", "text_tokens")  # whose values would be most of the JSON
    clips_per_file = 1_000

    def add(self, clip: Clip, part: Part) -> None:
        """Write the members of a clip."""
        tar = f"{clip.split}-{part.file_number:06}.tar"
        row = {name: value for name, value in clip.row.items() if value is not None and name not in self.unread}
        facts = row | {"sampling_rate": part.audio.rate, "text": clip.text, "split": clip.split}
        part.member(tar, f"{clip.id}.{part.audio.kind}", part.sound(clip))
        part.member(tar, f"{clip.id}.json", json.dumps(facts, ensure_ascii=False, sort_keys=True).encode())
        part.member(tar, f"{clip.id}.txt", clip.text.encode())

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Join adjacent members by key, as webdataset does."""
        for tar in exported.names():
            key, extensions = "", set[str]()
            for name, content in exported.members(tar):
                own, _, extension = name.partition(".")
                if own != key:
                    key, extensions = own, set()
                extensions.add(extension)
                if extension == "json" and json.loads(content.read())["clip_id"] != key:
                    raise ValueError(f"{tar}: {key}: has the metadata of another clip")
                if len(extensions) == 3 and {"json", "txt"} < extensions:
                    yield key
