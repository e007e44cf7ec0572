"""A package of plug-ins, installed beside speechmill: nothing in the tree knows of it, and all follows from it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.commandline import RATE, TEXTS, fingerprint, spoken
from tests.report_table import columns_in

PACKAGE = Path(__file__).parents[1] / "plugins"
CREST = """
import numpy as np, pyarrow as pa
from speechmill.core.columns import Column, at_most
from speechmill.stages import ClipStage

class Crest(ClipStage):
    name = "crest"
    clips_only = False
    columns = (Column("crest_db", pa.float32(), "peak over level", "dB", (0, 10, 20, 30),
                      at_most("crest_db", "peaky", 90.0, meaning="its peaks stand out too far")),)

    def rows(self, clips, build):
        levels = {c: np.abs(clip.astype(np.float64)) for c, clip in clips.items()}
        return [{"clip_id": c, "crest_db": 20 * np.log10(x.max() / np.sqrt((x**2).mean()))} for c, x in levels.items()]
"""
FORMAT = """
from speechmill.export import Exporter

class Format(Exporter):
    name = "ljspeech"
    about = ""

    def add(self, clip, part): ...
"""
FEW = """
from speechmill.stages import ClipStage

class Few(ClipStage):
    name = "few"

    def rows(self, clips, build):
        return []
"""


CONSOLE = """
import sys
from speechmill.cli.main import main

if __name__ == "__main__":  # its decoders import this too
    for line in sys.stdin:
        try:
            main(eval(line))
        except SystemExit as left:
            sys.stderr.flush()
            print(f"\\0{left.code}", flush=True)
"""


class Installed:
    """speechmill with a folder of packages beside it, as `pip install --target` makes one, in a process of its own.

    The process takes one command after another, so that Beam, torch and models are loaded once.
    """

    def __init__(self, site: Path) -> None:
        self.site = site
        self._console: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Run a command; what it says."""
        console = self._console = self._console or self._start()
        assert console.stdin is not None
        assert console.stdout is not None
        print([str(argument) for argument in arguments], file=console.stdin, flush=True)
        said: list[str] = []
        for line in console.stdout:
            said.append(line)
            if "\0" in line:
                break
        out, _, left = "".join(said).partition("\0")
        assert left.strip() == str(code), out
        return out

    def _start(self) -> "subprocess.Popen[str]":
        program = self.site / "console.py"
        program.write_text(CONSOLE)
        path = os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [sys.executable, str(program)], text=True, env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def close(self) -> None:
        """End the process."""
        if self._console is not None:
            self._console.communicate()

    def add(self, module: str, group: str, name: str, code: str, value: str = "") -> None:
        """Add a package of one module with one entry point."""
        about = self.site / f"{module}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[speechmill.{group}]\n{name} = {module}{value}\n")
        (self.site / f"{module}.py").write_text(code)


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The package of tests/plugins, installed from a copy: a build leaves files where it runs."""
    folder = tmp_path_factory.mktemp("plugged")
    shutil.copytree(PACKAGE, folder / "plugins")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", folder / "site", folder / "plugins"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with closing(Installed(folder / "site")) as installed:
        yield installed


@pytest.fixture(scope="module")
def own_stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Stages of three packages; each test switches off those that it is not about."""
    with closing(Installed(tmp_path_factory.mktemp("own") / "site")) as installed:
        installed.add("crest_stage", "stages", "crest", CREST, ":Crest")
        dice = crest("20 * np.log10(x.max() / np.sqrt((x**2).mean()))", "np.random.default_rng().random()")
        names = {"crest_db": "dice_db", '"crest"': '"dice"', "peaky": "unlucky"}
        for old, new in names.items():
            dice = dice.replace(old, new)
        installed.add("dice_stage", "stages", "dice", dice, ":Crest")
        installed.add("few_stage", "stages", "few", FEW, ":Few")
        yield installed


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file that names a recording of two sentences, twelve seconds, on its one line."""
    folder = tmp_path_factory.mktemp("listed")
    soundfile.write(folder / "river.flac", spoken(TEXTS["river.flac"], 0), RATE)
    (folder / "names.txt").write_text(f"{folder / 'river.flac'}\n")
    return folder / "names.txt"


@pytest.fixture(scope="module")
def made(plugged: Installed, listed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that all plug-ins of a run worked on."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "model").mkdir()
    (folder / "model/greedy.json").write_text('{"whisper": "tiny.en"}')
    settings = [f"asr.model={folder / 'model'}", "asr.language=en", "workers=1"]
    plugged("run", "--input", f"linewise:{listed}", "--output", folder / "corpus", *flags(settings))
    return folder / "corpus"


SHORT = ("asr.model=null", "tokenise.checkpoint=null", "workers=1")  # settings of runs without recognition


def flags(settings: Iterable[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def pool(corpus: Path) -> list[dict]:
    return pq.read_table(corpus / "pool.parquet/part-00000.parquet").to_pylist()


def test_all_of_a_run_work_on_a_corpus(made: Path) -> None:
    clips = [row for file in made.glob("data/*") for row in pq.read_table(file).to_pylist()]
    assert len(clips) == len(pool(made)) == 2
    assert all(3 < clip["mos"] <= 5 for clip in clips)
    assert [word in clip["text"] for clip, word in zip(clips, ("river", "miller"), strict=True)] == [True, True]
    assert [row["source"] for row in pq.read_table(made / "recordings.parquet").to_pylist()] == ["linewise"]


def test_everything_that_describes_a_corpus_follows_from_the_stage(made: Path) -> None:
    for file in (*made.glob("data/*"), *made.glob("pool.parquet/*")):
        assert pq.read_schema(file).field("mos").metadata[b"description"].startswith(b"mean opinion score")
    run, stats = (json.loads((made / name).read_text()) for name in ("run.json", "stats.json"))
    assert run["plugins"] == {"mos": {"package": "speechmill-examples", "version": "0.1"}}
    assert run["stages"]["mos"]["done"] == 1
    assert sum(stats["histograms"]["mos"]["kept"]) == 2
    card, report = (made / "README.md").read_text(), (made / "report.html").read_text()
    assert "| `mos` | `float32` |  | mean opinion score" in card
    assert "| `mos` | at least 1.5 |" in card
    mos = columns_in(report)["mos"]
    assert mos["about"].startswith("mean opinion score")
    assert (mos["key"], mos["limit"], mos["reason"]) == ("mos", 1.5, "low_mos")
    assert "<code>mos ≥ 1.5</code>" in report


def test_a_second_run_does_nothing_and_prune_leaves_what_it_needs(plugged: Installed, made: Path, listed: Path) -> None:
    before = fingerprint(made)
    plugged("prune", made)
    again = json.loads(plugged("run", "--output", made, "--json", "--quiet"))
    assert not again["changed"]
    assert not again["stages"]["mos"]
    assert fingerprint(made) == before
    assert json.loads(plugged("status", made, "--json"))["contents"]["mos"] == 1
    planned = json.loads(plugged("plan", "--input", listed.parent, "--json", "--quiet"))
    assert planned["forecast"]["seconds"]["mos"] > 0


def test_the_corpus_is_exported_in_its_format(plugged: Installed, made: Path, tmp_path: Path) -> None:
    assert "subtitles" in plugged("export", "--list")
    result = json.loads(plugged("export", made, "--to", "subtitles", "--output", tmp_path / "out", "--json", "--quiet"))
    assert result["formats"]["subtitles"]["clips"] == 2
    for line in (tmp_path / "out/train-list.tsv").read_text().splitlines():
        audio, cues = line.split("\t")
        assert soundfile.info(tmp_path / "out" / audio).samplerate == 16_000
        with tarfile.open(tmp_path / "out/train-00000.tar") as tar:
            assert re.fullmatch(rb"WEBVTT\n\n00:00.000 --> 00:0\d\.\d{3}\n.*\.\n", tar.extractfile(cues).read())


def test_select_changes_its_threshold(plugged: Installed, made: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(made, tmp_path / "corpus"))
    plugged("select", corpus, "--set", "thresholds.mos=4.9")
    assert [row["reasons"] for row in pool(corpus)] == [["low_mos"]] * 2
    assert "| `low_mos` | listeners would call it bad | 2 |" in (corpus / "README.md").read_text()
    assert "<td>listeners would call it bad</td>" in (corpus / "report.html").read_text()
    assert "thresholds.mos" in plugged("run", "--output", corpus)
    plugged("select", corpus, "--set", "thresholds.mos=null")
    assert fingerprint(corpus) == fingerprint(made)


def test_a_wrong_key_is_told_with_the_right_one(plugged: Installed) -> None:
    wrong = {"thresholds.moz=3": "'mos'", "plugins.mos.longest=3": "'longest_s'", "plugins.moss.x=3": "'mos'"}
    for setting, right in wrong.items():
        assert f"unknown key; did you mean {right}?" in plugged("run", "--set", setting, code=2)
    assert "must not be true" in plugged("run", "--set", "thresholds.mos=yes", code=2)


def test_without_the_package_one_line_says_what_is_missing(made: Path, speechmill) -> None:
    before = fingerprint(made)
    for command in (("verify", made), ("select", made), ("run", "--output", made)):
        done = speechmill(*command, code=1 if command[0] == "verify" else 2)
        (line,) = [one for one in (done.stdout + done.stderr).splitlines() if "plug-ins that are not here" in one]
        assert "mos (of speechmill-examples 0.1); pip install speechmill-examples" in line
    assert fingerprint(made) == before


def test_with_the_package_the_corpus_verifies(plugged: Installed, made: Path) -> None:
    found = json.loads(plugged("verify", made, "--json"))
    assert found["ok"]
    assert (found["checks"]["plug_ins"]["checked"], found["checks"]["plug_ins"].get("note")) == (2, None)


def test_a_column_that_its_audio_does_not_give_again_is_found(
    own_stages: Installed, listed: Path, tmp_path: Path
) -> None:
    settings = flags((*SHORT, "plugins.crest=null", "plugins.few=null"))
    own_stages("run", "--input", listed.parent / "river.flac", "--output", tmp_path / "corpus", *settings)
    checks = json.loads(own_stages("verify", tmp_path / "corpus", "--json", code=1))["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["plug_ins"]
    assert "dice_db is 0." in checks["plug_ins"]["problems"][0]


def test_a_clip_that_is_selected_later_waits_for_the_stage(plugged: Installed, listed: Path, tmp_path: Path) -> None:
    settings = flags((*SHORT, "thresholds.snr_db=200"))
    plugged("run", "--input", listed.parent / "river.flac", "--output", tmp_path / "corpus", *settings)
    plugged("select", tmp_path / "corpus", "--set", "thresholds.snr_db=null")
    assert [(row["reasons"], row["mos"]) for row in pool(tmp_path / "corpus")] == [(["not_measured"], None)] * 2
    plugged("run", "--output", tmp_path / "corpus")
    assert [row["decision"] for row in pool(tmp_path / "corpus")] == ["kept"] * 2


def test_a_stage_may_take_all_clips_and_be_switched_off(own_stages: Installed, listed: Path, tmp_path: Path) -> None:
    settings = flags((*SHORT, "plugins.dice=null", "plugins.few=null", "thresholds.snr_db=200"))
    made = ["run", "--input", listed.parent / "river.flac", "--output", tmp_path / "corpus", *settings]
    own_stages(*made, "--set", "thresholds.crest_db=1")
    assert [(row["reasons"], row["crest_db"] > 1) for row in pool(tmp_path / "corpus")] == [
        (["low_snr", "peaky"], True)
    ] * 2
    own_stages(*made, "--set", "plugins.crest=null", "--set", "thresholds.crest_db=1")
    assert all(row["reasons"] == ["low_snr"] and "crest_db" not in row for row in pool(tmp_path / "corpus"))


def test_a_stage_that_forgets_clips_loses_none_silently(own_stages: Installed, listed: Path, tmp_path: Path) -> None:
    settings = flags((*SHORT, "plugins.crest=null", "plugins.dice=null"))
    said = own_stages("run", "--input", listed.parent / "river.flac", "--output", tmp_path / "corpus", *settings)
    assert "few: 0 rows of 2 clips, not one of each" in said
    assert [row["reasons"] for row in pool(tmp_path / "corpus")] == [["not_measured"]] * 2


def crest(old: str, new: str) -> str:
    assert old in CREST
    return CREST.replace(old, new)


BROKEN = {
    "gone": ("sources", "gone", "import nothere", "", "ModuleNotFoundError: No module named 'nothere'"),
    "plain": ("asr", "plain", "", "", "has no can_load"),
    "kind": ("sources", "rss", "def list_recordings(*_): ...", "", "it redefines the kind of source rss"),
    "stage": ("stages", "a", FEW.replace("few", "score"), ":Few", "it redefines the stage score"),
    "column": ("stages", "b", crest('"crest_db", pa', '"snr_db", pa'), ":Crest", "it redefines the column snr_db"),
    "key": ("stages", "c", crest('most("crest_db"', 'most("music"'), ":Crest", "it redefines the threshold music"),
    "reason": ("stages", "d", crest("peaky", "noise"), ":Crest", "it redefines the reason noise"),
    "meaning": ("stages", "e", crest("its peaks stand out too far", ""), ":Crest", "its reason peaky has no meaning"),
    "kind_of_value": ("stages", "f", crest("pa.float32()", "pa.date32()"), ":Crest", "do not know: date32"),
    "early": ("stages", "g", crest("clips_only", "after = ('text',); clips_only"), ":Crest", "it reads text"),
    "twin_b": ("sources", "twin", "def list_recordings(*_): ...", "", "twin_a has this name too"),
    "letters": ("stages", "h", crest('name = "crest"', 'name = "../x"'), ":Crest", "has other characters"),
    "format": ("exporters", "k", FORMAT, ":Format", "it redefines the format ljspeech"),
    "nothing": ("exporters", "l", "class F:\n    name, about, add = 'x', '', None", ":F", "is no Exporter"),
    "none": ("stages", "i", "class Crest:\n    name, columns, rows = 'x', (), None", ":Crest", "is no ClipStage"),
}


def test_what_is_broken_is_left_out_and_told_in_one_line(listed: Path, tmp_path: Path) -> None:
    broken = Installed(tmp_path / "site")
    broken.add("twin_a", "sources", "twin", "def list_recordings(*_): ...")
    for module, (group, name, code, value, _) in BROKEN.items():
        broken.add(module, group, name, code, value)
    with closing(broken):
        checks = json.loads(broken("doctor", "--json", code=1))["checks"]
        run = ("run", "--input", listed.parent / "river.flac", "--output", tmp_path / "corpus", *flags(SHORT))
        said = broken(*run)
    told = [check["found"] for check in checks.values() if not check["ok"]]
    for module, (group, name, *_, why) in BROKEN.items():
        (line,) = [
            one for one in told if one.startswith(f"{group}: {name} of {module} 1.0 is left out: ") and why in one
        ]
        assert "\n" not in line
    assert [said.count(f" of {module} 1.0 is left out: ") for module in BROKEN] == [1] * len(BROKEN)
    assert len(pool(tmp_path / "corpus")) == 2
