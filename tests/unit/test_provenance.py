"""Marks in media (C2PA): a no is heard whoever signed it, a machine is named, and no host is asked for anything."""

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status, recording_from
from speechmill.core.store import Store
from speechmill.fetch.consent import provenance
from speechmill.fetch.consent.provenance import Marks, read
from speechmill.sources import Listed
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.profiles import plan_build

from tests.server import ScriptedServer, ok
from tests.signed import made, signed, training

KINDS = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "m4a": "audio/mp4"}
CODECS = {"wav": "pcm_s16le", "mp3": "mp3", "flac": "flac", "m4a": "aac"}


def media(suffix: str) -> bytes:
    """A second of a tone."""
    into = io.BytesIO()
    with av.open(into, "w", format="ipod" if suffix == "m4a" else suffix) as container:
        stream = container.add_stream(CODECS[suffix], rate=44_100, layout="mono")
        tone = (8000 * np.sin(np.arange(44_100) / 20)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 44_100
        resampler = av.AudioResampler(stream.format.name, "mono", 44_100, frame_size=stream.frame_size or 0)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return into.getvalue()


def file(tmp_path: Path, *assertions: dict[str, Any], suffix: str = "wav", **more: Any) -> str:
    path = tmp_path / f"talk.{suffix}"
    path.write_bytes(signed(media(suffix), KINDS[suffix], *assertions, **more))
    return str(path)


@pytest.mark.parametrize("suffix", KINDS)
def test_33_a_no_in_any_container(tmp_path: Path, suffix: str) -> None:
    path = file(tmp_path, training(ai_training="notAllowed"), made("trainedAlgorithmicMedia"), suffix=suffix)
    assert provenance.may_have_marks(path)
    assert read(path) == Marks(("cawg.ai_training: notAllowed",), ("c2pa.created: trainedAlgorithmicMedia",))


USES = [
    ({"ai_generative_training": "notAllowed"}, ("cawg.ai_generative_training: notAllowed",)),
    ({"data_mining": "notAllowed", "ai_training": "allowed"}, ("cawg.data_mining: notAllowed",)),
    ({"ai_training": "constrained"}, ("cawg.ai_training: constrained",)),
    ({"ai_training": "allowed", "data_mining": "allowed"}, ()),
    ({"ai_inference": "notAllowed"}, ()),
]


@pytest.mark.parametrize(("uses", "expected"), USES)
def test_33_of_the_uses_those_count_that_are_ours(
    tmp_path: Path, uses: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert read(file(tmp_path, training(**uses))) == Marks(expected)


def test_33_the_older_name_counts_and_so_does_a_file_that_was_changed_since(tmp_path: Path) -> None:
    old = {"label": "c2pa.training-mining", "data": {"entries": {"c2pa.data_mining": {"use": "notAllowed"}}}}
    path = Path(file(tmp_path, old))
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1  # a sample: the signature is of another sound
    path.write_bytes(raw)
    assert read(str(path)).forbids == ("c2pa.data_mining: notAllowed",)


@pytest.mark.parametrize(
    ("kind", "is_generated"),
    [("trainedAlgorithmicMedia", True), ("compositeWithTrainedAlgorithmicMedia", True), ("digitalCapture", False)],
)
def test_a_machine_made_it(tmp_path: Path, kind: str, is_generated: bool) -> None:
    assert bool(read(file(tmp_path, made(kind))).generated) is is_generated


def test_no_manifest_is_fetched_from_elsewhere(server: ScriptedServer, tmp_path: Path) -> None:
    path = file(tmp_path, training(ai_training="notAllowed"), elsewhere=server.url("/manifest.c2pa"))
    assert read(path) == Marks()
    assert server.requests + server.questions == []


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-500], lambda raw: raw.replace(b"cawg", b"\0\0\0\0"), lambda raw: b"c2pa" * 99]
)
def test_a_damaged_manifest_says_nothing_or_what_is_left(tmp_path: Path, damage: Any) -> None:
    path = Path(file(tmp_path, training(ai_training="notAllowed")))
    path.write_bytes(damage(path.read_bytes()))
    assert isinstance(read(str(path)), Marks)


ENTRIES: dict[str, Any] = {"assertions": [1, {"data": {"entries": []}}]}
ACTIONS: dict[str, Any] = {"assertions": [{"label": "c2pa.actions", "data": {"actions": [None, {}]}}]}
ITSELF: dict[str, Any] = {"ingredients": [1, {"active_manifest": "a", "relationship": "parentOf"}]}
ODD: list[dict[str, Any]] = [
    {"manifests": []},
    {"manifests": {"a": None, "b": {"assertions": {}}, "c": ENTRIES}},
    {"active_manifest": "a", "manifests": {"a": ITSELF}},
    {"active_manifest": [], "manifests": {"a": ACTIONS}},
]


@pytest.mark.parametrize("store", ODD, ids=json.dumps)
def test_a_manifest_of_another_form_says_nothing(store: dict[str, Any]) -> None:
    assert provenance._marks(store) == Marks()


def test_only_what_sounds_in_it_makes_it_a_machines(tmp_path: Path) -> None:
    machine = {"assertions": [made("trainedAlgorithmicMedia")]}
    for ingredient, expected in (
        ({"relationship": "parentOf"}, True), ({"relationship": "componentOf", "format": "audio/mpeg"}, True),
        ({"relationship": "componentOf", "format": "image/jpeg"}, False),
    ):  # fmt: skip
        mine = {"ingredients": [{"active_manifest": "b", **ingredient}]}
        assert (
            bool(provenance._marks({"active_manifest": "a", "manifests": {"a": mine, "b": machine}}).generated)
            is expected
        )


# --- in a run ---


@pytest.fixture
def build(server: ScriptedServer, tmp_path: Path) -> Build:
    chosen = {"fetch": {"allow_hosts": [server.host]}, "asr": {"model": None}, "workers": 1}
    config = RunConfig.model_validate(chosen | {"output": str(tmp_path / "corpus")})
    return plan_build(config, Store(config.output), find_model=Path)


def fetched(url: str, build: Build, media_path: str | None = None) -> Recording:
    listed = Listed(recording=Recording(recording_id="id", source="rss", media_url=url), media_path=media_path)
    fetch_recording(listed, build)
    return recording_from(build.store.read(build.fetched("id")).to_pylist()[0])


def test_33_media_that_forbid_training_are_deleted_and_opted_out(server: ScriptedServer, build: Build) -> None:
    url = server.script("/a.wav", ok(signed(media("wav"), "audio/wav", training(data_mining="notAllowed"))))
    for _ in range(2):
        row = fetched(url, build)
        assert (row.status, row.reason, row.content_id) == (Status.OPTED_OUT, Reason.OPTED_OUT, None)
        assert [(one.signal, one.value, one.url) for one in row.consent] == [
            ("C2PA", "cawg.data_mining: notAllowed", url)
        ]
        assert build.store.names("work/media") == []
    assert len(server.asked("/a.wav")) == 1


def test_33_a_file_of_ones_own_is_opted_out_and_stays(build: Build, tmp_path: Path) -> None:
    path = file(tmp_path, training(ai_training="notAllowed"))
    assert fetched("talk.wav", build, path).status is Status.OPTED_OUT
    assert Path(path).is_file()


def test_what_a_machine_made_is_marked_by_its_file(server: ScriptedServer, build: Build) -> None:
    url = server.script("/a.wav", ok(signed(media("wav"), "audio/wav", made("trainedAlgorithmicMedia"))))
    for _ in range(2):  # the second time it is listed again, by a feed that does not say so
        row = fetched(url, build)
        assert (row.status, row.ai_generated) == (Status.OK, True)
        assert [one.value for one in row.consent] == ["generated: c2pa.created: trainedAlgorithmicMedia"]


def test_media_of_before_the_library_was_installed_are_read_when_it_is(
    server: ScriptedServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.script("/a.wav", ok(signed(media("wav"), "audio/wav", training(ai_training="notAllowed"))))
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "is_installed", lambda: False)
        assert fetched(url, build).status is Status.OK
    assert fetched(url, build).status is Status.OPTED_OUT
    assert build.store.names("work/media") == []
