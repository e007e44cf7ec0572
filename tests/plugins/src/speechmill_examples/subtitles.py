from collections.abc import Iterator

from speechmill.export import Clip, Exported, Exporter, Limits, Part


class Subtitles(Exporter):
    """A tar file of subtitles, and a list of audio files with the subtitles of each."""

    name = "subtitles"
    about = "list.tsv of audio file and subtitle file, and the subtitles, in WebVTT, in a tar file"
    limits = Limits(max_seconds=30)
    sample_rate = 16_000
    sorted_files = ("list.tsv",)

    def reason(self, clip: Clip) -> str | None:
        return None if clip.language == "en" else "not_english"

    def add(self, clip: Clip, part: Part) -> None:
        part.line(f"{clip.split}-list.tsv", f"{clip.audio_file}\t{clip.id}.vtt")
        cue = f"WEBVTT\n\n00:00.000 --> 00:{clip.seconds:06.3f}\n{clip.text}\n"
        part.member(f"{clip.split}-{part.number:05}.tar", f"{clip.id}.vtt", cue.encode())

    def read_back(self, exported: Exported) -> Iterator[str]:
        for tar in (name for name in exported.names() if name.endswith(".tar")):
            yield from (name.removesuffix(".vtt") for name, _ in exported.members(tar))
