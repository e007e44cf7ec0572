"""The fields of Croissant RAI 1.0, filled from what a run knows; a field of which it knows nothing is left out."""

from typing import Any

from speechmill.core.build import Build
from speechmill.core.version import __version__
from speechmill.publish import figures, limits
from speechmill.publish.models import WHAT, models_of

Json = dict[str, Any]
SOURCES = {
    "local": "local files", "rss": "podcast feeds", "librivox": "LibriVox", "archive": "the Internet Archive",
    "librilight": "Libri-Light", "ytdlp": "sites that yt-dlp knows",
}  # fmt: skip
LOCAL = {"local", "librilight"}


def responsible_ai(build: Build, stats: dict[str, Any]) -> Json:
    """The fields of the RAI vocabulary of a corpus with these statistics."""
    values = {
        "dataCollection": _collection(stats),
        "dataCollectionType": _collection_types(stats),
        "dataCollectionMissingData": _missing(stats),
        "dataCollectionRawData": "The recordings themselves are not part of the dataset. recordings.parquet has the "
        "address, SHA-256, title, author and licence of each.",
        "dataPreprocessingProtocol": _preprocessing(build),
        "dataAnnotationProtocol": _annotation(build),
        "dataAnnotationPlatform": [f"speechmill {__version__}"],
        "dataAnnotationAnalysis": limits.annotation_errors(build, stats),
        "annotationsPerItem": _annotations_per_item(build),
        "annotatorDemographics": _annotators(stats),
        "machineAnnotationTools": _tools(build),
        "dataBiases": limits.biases(build, stats),
        "dataUseCases": [*limits.USES, *(f"Not for: {use}" for use in limits.MISUSES)],
        "dataLimitations": limits.limits(build, stats),
        "dataSocialImpact": "Voices that sound like a person make deception easier, and help people who lost theirs. "
        "The speakers did not agree to be imitated.",
        "personalSensitiveInformation": limits.personal_data(build),
        "dataReleaseMaintenancePlan": "A later run of speechmill replaces the files in place; recordings that were "
        "removed on request stay out of every later publication. run.json has the version, settings and time of the "
        "last run.",
    }
    return {f"rai:{name}": value for name, value in values.items() if value}


def _collection(stats: dict[str, Any]) -> str:
    kinds = stats.get("recordings_by_source", {})
    listed = ", ".join(f"{count:,} of {SOURCES.get(kind, kind)}" for kind, count in sorted(kinds.items()))
    total = figures.duration(stats["samples"]["in"], stats["sampling_rate"])
    polite = (
        " Media were fetched by software that heeds robots.txt, RSL, TDM reservations and similar signals."
        if kinds.keys() - LOCAL
        else ""
    )
    return f"Existing recordings: {listed or 'none'}; {total} were decoded.{polite}"


def _collection_types(stats: dict[str, Any]) -> list[str]:
    is_remote = bool(stats.get("recordings_by_source", {}).keys() - LOCAL)
    return ["Secondary Data Analysis", *(["Software Collection"] if is_remote else [])]


def _tools(build: Build) -> list[str]:
    """Each model once: several stages may run the same."""
    return list(dict.fromkeys(model for stage in WHAT if build.runs(stage) for model in models_of(stage, build)))


def _missing(stats: dict[str, Any]) -> str:
    failed, rejected = sum(stats["failed_by_reason"].values()), stats["clips"].get("rejected", 0)
    return (
        f"{failed:,} recordings were not used and {rejected:,} candidate clips were rejected, each with its reasons in "
        "recordings.parquet and pool.parquet; ledger.parquet accounts for every sample. Undefined values are null."
    )


def _preprocessing(build: Build) -> list[str]:
    cut, rate = build.config.segment, build.config.audio.sample_rate
    tests = ", ".join(
        f"{column.name} at {'most' if column.test.at_most else 'least'} {limit:g}"
        for column, limit in figures.limits(build)
        if column.test
    )
    return [
        f"Decoded, mixed down to one channel and resampled to {rate:,} Hz; stored as 16-bit FLAC, not normalised.",
        f"Cut into clips of {cut.min_length_s:g} to {cut.max_length_s:g} s at silences of {cut.min_silence_s:g} s or "
        f"more (profile {cut.profile}, detector {cut.vad})"
        + (", and where the voice changes." if build.runs("turns") and build.config.turns.cut else "."),
        f"Kept if these hold: {tests}.",
        "The same sound is kept only once." if build.runs("dedup") else "Duplicates were not looked for.",
    ]


def _annotation(build: Build) -> list[str]:
    notes = ["Measures of the signal and defect scores are computed from the samples of a clip."]
    if build.runs("transcribe"):
        notes.append("An ASR model writes text and word times, which are checked for marks of hallucination.")
        notes.append("A reference text of the publisher is aligned to the clips where there is one.")
    if build.runs("cross_check"):
        notes.append("A second ASR model writes the text again; clips where the two disagree are rejected.")
    if build.runs("speakers"):
        notes.append("Embeddings of voices are clustered; speaker_id names a cluster, not a person.")
    if build.runs("tokenise"):
        notes.append("A dVAE encodes the sound as mel tokens.")
    return notes


def _annotations_per_item(build: Build) -> str:
    if not build.runs("transcribe"):
        return "none"
    return "two texts by two ASR models" if build.runs("cross_check") else "one text by one ASR model"


def _annotators(stats: dict[str, Any]) -> list[str]:
    by_hand = stats.get("decided_by_hand", 0)
    people = f"; people decided about {by_hand:,} clips" if by_hand else ""
    return [f"No people: all annotations are made by models{people}."]
