"""NeMo, tarred: `audio_0.tar` with a manifest for each, as convert_to_tarred_audio_dataset.py makes them.

Readers find the number of a shard in the names of its two files. A name with `-sub` and a number would be the second
utterance of a longer file, so ids have none.
"""

import json
from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Part
from speechmill.export.formats.nemo import line_of

FOLDER = "nemo_tarred"
MANIFEST, SHARDED, METADATA, INPUT = (
    "tarred_audio_manifest.json",
    "sharded_manifests",
    "metadata.yaml",
    "input_cfg.yaml",
)


class NeMoTarred(Exporter):
    """`nemo_tarred/train/` and `nemo_tarred/validation/`, with audio of their own."""

    name = "nemo-tarred"
    about = "nemo_tarred/train/audio_0.tar with manifests by shard; read by NeMo as nemo_tarred, through lhotse"
    loading = "`input_cfg: nemo_tarred/train/input_cfg.yaml`, started here. Contexts of Magpie-TTS are in `nemo` only."
    kinds = ("wav", "flac")
    shares_audio = False
    clips_per_file = 1_000

    def add(self, clip: Clip, part: Part) -> None:
        """Write the audio, and a line into both manifests."""
        folder, number = f"{FOLDER}/{clip.split}", part.file_number
        name = f"{clip.id.replace('-sub', '_sub')}.{part.audio.kind}"
        part.member(f"{folder}/audio_{number}.tar", name, part.sound(clip))
        line = line_of(clip, name, {"shard_id": number, "clip_id": clip.id})
        part.line(f"{folder}/{SHARDED}/manifest_{number}.json", line)
        part.line(f"{folder}/{MANIFEST}", line)

    def finish(self, exported: Exported) -> None:
        """Write how many shards there are, and the entry of a config that reads them."""
        for manifest in (name for name in exported.names() if name.endswith(MANIFEST)):
            folder = manifest.removesuffix(f"/{MANIFEST}")
            shards = len(exported.names(f"{folder}/audio_"))
            with exported.create(f"{folder}/{METADATA}") as file:
                file.write(_metadata(shards, self.clips_per_file).encode())
            with exported.create(f"{folder}/{INPUT}") as file:
                file.write(_input(folder, shards).encode())

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Pair the members of each tar file with the lines of its manifest, and those with the joint one."""
        for manifest in (name for name in exported.names() if name.endswith(MANIFEST)):
            folder = manifest.removesuffix(f"/{MANIFEST}")
            joint = exported.lines(manifest)
            for number in range(len(exported.names(f"{folder}/audio_"))):
                lines = exported.lines(f"{folder}/{SHARDED}/manifest_{number}.json")
                for (name, _), line in zip(exported.members(f"{folder}/audio_{number}.tar"), lines, strict=True):
                    row = json.loads(line)
                    if (row["audio_filepath"], row["shard_id"]) != (name, number) or line != next(joint, None):
                        raise ValueError(f"{folder}/audio_{number}.tar: {name} is not what the manifests say")
                    yield row["clip_id"]


def _metadata(shards: int, clips: int) -> str:
    """The metadata of a tarred data set, without its date."""
    return (
        f"version: 1\nnum_samples_per_shard: {clips}\nis_concatenated_manifest: false\n"
        f"dataset_config:\n  num_shards: {shards}\n  shuffle: false\n  shard_manifests: true\nhistory: []\n"
    )


def _input(folder: str, shards: int) -> str:
    """The entry of an `input_cfg`. A single shard is named as it is: NeMo's pattern is for several."""
    numbers = "0" if shards == 1 else f"_OP_0..{shards - 1}_CL_"
    return (
        f"- type: nemo_tarred\n  manifest_filepath: {folder}/{SHARDED}/manifest_{numbers}.json\n"
        f"  tarred_audio_filepaths: {folder}/audio_{numbers}.tar\n"
    )
