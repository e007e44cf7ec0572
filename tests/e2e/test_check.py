"""`speechmill check` on a corpus with one of each fault: these are rejected with their reasons, and nothing else."""

import csv
import json
from pathlib import Path

import soundfile
from speechmill.export.engine import export

from tests.commandline import SETTINGS

WRONG = "Entirely other words are written here, of a clip that somebody has mixed up with another one."


def arguments(corpus: Path, output: Path, *more: str) -> list[str]:
    kept = (setting for setting in SETTINGS if not setting.startswith("publish"))
    return ["check", str(corpus), "--output", str(output), *(part for s in kept for part in ("--set", s)), *more]


def test_a_corpus_with_one_of_each_fault(corpus: Path, speechmill, tmp_path: Path) -> None:
    export(str(corpus), str(tmp_path / "nemo"), ["nemo"], workers=1)
    rows = [json.loads(line) for path in (tmp_path / "nemo").glob("nemo_*") for line in path.read_text().splitlines()]
    wrong, leaked, silent, *good = rows[:5]
    wave, rate = soundfile.read(tmp_path / "nemo" / leaked["audio_filepath"])
    soundfile.write(tmp_path / "nemo/again.wav", 0.9 * wave, rate)  # other bytes, the same words
    soundfile.write(tmp_path / "nemo/silent.wav", 0 * wave, rate)
    for path in (tmp_path / "nemo").glob("nemo_*"):
        path.unlink()
    train = [wrong | {"text": WRONG}, leaked, silent | {"audio_filepath": "silent.wav"}, *good]
    train += [{"audio_filepath": "wavs/missing.wav", "text": "Nothing."}]
    (tmp_path / "nemo/nemo_train.json").write_text("".join(f"{json.dumps(row)}\n" for row in train) + "{broken\n")
    (tmp_path / "nemo/nemo_test.json").write_text(json.dumps(leaked | {"audio_filepath": "again.wav"}) + "\n")

    done = speechmill(*arguments(tmp_path / "nemo", tmp_path / "out", "--json"))
    result = json.loads(done.stdout)
    rejects = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    by_name = {Path(row["id"]).name: row for row in rejects}
    assert by_name.keys() == {
        Path(wrong["audio_filepath"]).name, "again.wav", "silent.wav", "missing.wav", "nemo_train.json line 7"
    }  # fmt: skip
    assert by_name[Path(wrong["audio_filepath"]).name]["reasons"] == ["disagreement"]
    assert by_name[Path(wrong["audio_filepath"]).name]["text_agreement"] < 0.5
    assert by_name["again.wav"]["reasons"][-2:] == ["sound_in_train", "text_in_train"]
    assert by_name["silent.wav"]["reasons"] == ["silence"]
    assert by_name["missing.wav"]["reasons"] == ["not_found"]
    assert by_name["nemo_train.json line 7"]["reasons"] == ["unreadable"]
    assert (result["items"], result["rejected"], result["layout"]) == (8, 5, "nemo")
    assert result["held out, but in train too"] == {"by sound": 1, "by text": 1}
    assert result["median agreement of given texts"] > 0.9
    with (tmp_path / "out/rejects.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in rejects]
    assert "<html" in (tmp_path / "out/corpus/report.html").read_text()

    files = {name: (tmp_path / "out" / name).read_bytes() for name in ("rejects.csv", "rejects.jsonl", "check.json")}
    speechmill(*arguments(tmp_path / "nemo", tmp_path / "out", "--max-rejected", "0.1", "--quiet"), code=3)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    refused = speechmill(*arguments(corpus, tmp_path / "out"), code=2)
    assert "has the check of another corpus" in refused.stderr
