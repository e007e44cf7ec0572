"""What several kinds of tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: threads that wait for each other are slow
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile Beam and torch again
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from speech_defects.packages import drop_lazy_modules
from speechmill.sources.demo.podcast import make_podcast

from tests.commandline import corpus, folder, speechmill
from tests.once import made_once
from tests.server import ScriptedServer

__all__ = ["corpus", "folder", "speechmill"]  # fixtures for every test

# A machine that is busy with other work is slow, which says nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

SAID = (  # without a pause of half a second
    (
        "The old lighthouse keeper climbed the narrow stairs every evening to light the lamp "
        "before the ships came near the rocks."
    ),
    "She sells sea shells by the sea shore and they say that she is rather rich because six of us wished to see it.",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that kill parts of a cluster take many minutes: they run only when they are asked for."""
    if "cluster_faults" in str(config.getoption("markexpr")):
        return
    left_out = [item for item in items if item.get_closest_marker("cluster_faults")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs keep the speeds of stages here, and not in the home of who tests, where Flink and Prism are looked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def only_modules_that_can_be_looked_at() -> Iterator[None]:
    """Hypothesis walks sys.modules, also while tests run, and tests may import SpeechBrain."""
    drop_lazy_modules()
    yield
    drop_lazy_modules()


@pytest.fixture(scope="session")
def podcast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the demo podcast, made once: feed.xml, three episodes, truth.json."""
    return made_once("podcast", tmp_path_factory, make_podcast)


@pytest.fixture(scope="session")
def speech() -> npt.NDArray[np.float32]:
    """About a minute of a synthetic voice, float32[n] at 24 kHz with a peak of 0.5: eight passages, 0.8 s apart."""
    from hibari import Hibari

    voice = Hibari()
    said = [np.asarray(voice(text, seed=0), np.float32) for text in SAID] * 4
    pause = np.zeros(round(0.8 * 24_000), np.float32)
    whole = np.concatenate([pause, *(part for one in said for part in (one / np.abs(one).max() / 2, pause))])
    return whole.astype(np.float32)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recordings that are not part of this repository; tests that want it are skipped where it is absent."""
    folder = Path(os.environ.get("SPEECHMILL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("no shared data: set SPEECHMILL_SHARED_DATA to its folder")
    return folder


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A fresh scripted server."""
    with ScriptedServer() as running:
        yield running
