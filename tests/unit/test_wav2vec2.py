"""A CTC network's transcript of a clip: exact in every company, cased, punctuated, timed, and of safe files only."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from speechmill import asr
from speechmill.asr import ctc
from speechmill.asr.wav2vec2 import Wav2Vec2
from speechmill.core.config import Asr
from speechmill.core.config_errors import ConfigError
from speechmill.fetch import model_folder, models

import transformers  # isort: skip - after wav2vec2, which lets it import torchaudio

RATE = 16_000
TOKENS = ("<pad>", "<unk>", "|", *"',.?ABNSTabnst")
LETTERS = ctc.Alphabet(tokens=TOKENS, blank=0, space=2, silent=frozenset({0, 1}))
SIZES = {
    "vocab_size": len(TOKENS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip


def network(folder: Path, kind: str = "Wav2Vec2", norm: str = "layer") -> Path:
    """A tiny network with first weights drawn by chance, which hears much in anything."""
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(TOKENS)}))
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(
        **SIZES, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer"
    )
    parts = (
        getattr(transformers, f"{kind}ForCTC")(config),
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer"),
        transformers.Wav2Vec2CTCTokenizer(
            str(folder / "vocab.json"), pad_token="<pad>", unk_token="<unk>", bos_token=None, eos_token=None
        ),
    )
    for part in parts:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, round(seconds * RATE)).astype(np.float32) for seconds in (1, 2.5, 1, 4, 0.3)]


ARPA = """\\data\\
ngram 1={unigrams}
ngram 2={bigrams}

\\1-grams:
{rows}

\\2-grams:
{pairs}

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    """Bigrams of characters, by which a text begins with A and ends with a question mark."""
    rows = ["-9\t<unk>", "-9\t<s>\t0", "-1\t</s>", *(f"-1.2\t{token}\t0" for token in TOKENS[2:])]
    pairs = ["-0.1\t<s> A", "-0.1\t? </s>"]
    file = tmp_path / "letters.arpa"
    file.write_text(ARPA.format(unigrams=len(rows), bigrams=len(pairs), rows="\n".join(rows), pairs="\n".join(pairs)))
    return file


# --- what is heard ---


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize(("kind", "norm"), [("Wav2Vec2", "layer"), ("Wav2Vec2", "group"), ("Hubert", "layer")])
def test_a_transcript_is_the_same_alone_and_in_any_batch_and_order(
    tmp_path: Path, waves: list[np.ndarray], kind: str, norm: str, beam_size: int
) -> None:
    folder = str(network(tmp_path / "net", kind, norm))
    recogniser = Wav2Vec2(folder, Asr(beam_size=beam_size))
    alone = [recogniser.transcribe([wave])[0] for wave in waves]
    assert len({one.text for one in alone}) == len(waves)
    for size in (1, 2, 5):
        order = random.Random(size).sample(range(len(waves)), len(waves))
        other = Wav2Vec2(folder, Asr(beam_size=beam_size, batch_size=size))
        assert other.transcribe([waves[i] for i in order]) == [alone[i] for i in order]


def test_threads_change_no_text_and_no_time(folder: Path, waves: list[np.ndarray]) -> None:
    before, heard = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            heard += Wav2Vec2(str(folder), Asr()).transcribe([waves[3]])
    finally:
        torch.set_num_threads(before)
    one, other = heard
    assert one.text == other.text != ""
    for word, again in zip(one.words, other.words, strict=True):
        assert replace(word, probability=0) == replace(again, probability=0)
        assert word.probability == pytest.approx(again.probability, abs=1.01e-4)


def test_one_recogniser_serves_several_threads(folder: Path, waves: list[np.ndarray], arpa: Path) -> None:
    recogniser = Wav2Vec2(str(folder), Asr(language_model=str(arpa)))
    alone = recogniser.transcribe(waves)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(recogniser.transcribe, [[wave] for wave in waves * 4])
        assert [heard for (heard,) in together] == alone * 4


def test_words_are_timed_and_sure_as_their_characters_are(folder: Path, waves: list[np.ndarray]) -> None:
    recogniser = Wav2Vec2(str(folder), Asr(beam_size=1, language="en"))
    (heard,) = recogniser.transcribe([waves[1]])
    assert heard.text == " ".join(word.word for word in heard.words)
    times = [time for word in heard.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 2.5
    logprobs = recogniser.logprobs(waves[1])
    assert logprobs.shape == (124, len(TOKENS))  # a frame each 20 ms
    characters = list(ctc.spell(ctc.greedy(logprobs), logprobs, LETTERS))
    assert heard.avg_logprob == pytest.approx(np.mean([one.logprob for one in characters]), abs=1e-4)
    first = characters[: len(heard.words[0].word)]
    assert heard.words[0].probability == pytest.approx(np.exp(np.mean([one.logprob for one in first])), abs=1e-4)
    assert heard.asr_confidence == pytest.approx(np.mean([word.probability for word in heard.words]), abs=1e-4)
    assert heard.no_speech_probability is heard.language_probability is None
    assert heard.language == "en"


def test_a_clip_that_cannot_be_heard_is_an_error_row_of_its_own(folder: Path, waves: list[np.ndarray]) -> None:
    recogniser = Wav2Vec2(str(folder), Asr())
    heard = recogniser.transcribe([waves[0], waves[0][:0], waves[0][:100], waves[1]])
    assert [one.error is None for one in heard] == [True, False, False, True]
    assert "without sound" in (heard[1].error or "")
    assert heard[0] == recogniser.transcribe([waves[0]])[0]


def test_nothing_heard_is_no_word(folder: Path, tmp_path: Path, waves: list[np.ndarray]) -> None:
    deaf = transformers.AutoModelForCTC.from_pretrained(folder)
    torch.nn.init.zeros_(deaf.lm_head.weight)
    torch.nn.init.constant_(deaf.lm_head.bias[:1], 9.0)
    silent = network(tmp_path / "silent")
    deaf.save_pretrained(silent)
    (heard,) = Wav2Vec2(str(silent), Asr()).transcribe(waves[:1])
    assert (heard.text, heard.words, heard.asr_confidence, heard.error) == ("", (), None, None)


# --- which files ---


def test_a_folder_says_itself_which_recogniser_it_is(folder: Path) -> None:
    assert model_folder(str(folder)) == folder
    assert isinstance(asr.load(str(folder), Asr(), "cpu", "int8"), Wav2Vec2)
    whisper = asr.load(str(model_folder("tiny.en")), Asr(), "cpu", "int8")
    assert type(whisper).__name__ == "Whisper"


def test_pickles_are_refused_and_the_fix_is_named(tmp_path: Path) -> None:
    pickled = network(tmp_path / "pickled")
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no safetensors in .*pickled; save the network with .*save_pretrained"):
        Wav2Vec2(str(pickled), Asr())
    with pytest.raises(ConfigError, match=r"no model\.safetensors in .*pickled; give .*save_pretrained"):
        model_folder(str(pickled))


def test_the_extra_that_is_needed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "CTC_PACKAGES", ("transformers", "not_installed_here"))
    with pytest.raises(ConfigError, match=r"asr\.cross_check: .* pip install 'speechmill\[ctc\]'"):
        model_folder(str(folder), "asr.cross_check")


def test_a_folder_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    hostile = network(tmp_path / "hostile")
    config = json.loads((hostile / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCTC": "evil.Model"}}
    (hostile / "config.json").write_text(json.dumps(config))
    (hostile / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ConfigError, match=r"asr\.model"):
        Wav2Vec2(str(hostile), Asr())
    assert not (tmp_path / "ran").exists()


def test_a_network_for_another_rate_is_refused(tmp_path: Path) -> None:
    other = network(tmp_path / "other")
    chosen = other / "preprocessor_config.json"
    chosen.write_text(json.dumps(json.loads(chosen.read_text()) | {"sampling_rate": 8_000}))
    with pytest.raises(ConfigError, match="hears 8000 Hz, not 16000"):
        Wav2Vec2(str(other), Asr())


def test_damaged_files_are_told_in_one_line(tmp_path: Path) -> None:
    damaged = network(tmp_path / "damaged")
    weights = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ConfigError, match=r"asr\.model: .*damaged") as caught:
        Wav2Vec2(str(damaged), Asr())
    assert "\n" not in str(caught.value)


def test_a_network_without_a_head_is_refused(tmp_path: Path) -> None:
    headless = network(tmp_path / "headless")
    transformers.Wav2Vec2Model.from_pretrained(headless).save_pretrained(headless)
    with pytest.raises(ConfigError, match="headless has no CTC head; train one"):
        Wav2Vec2(str(headless), Asr())


@pytest.mark.parametrize("part", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_36_code_of_a_model_folder_is_neither_run_nor_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    own = network(tmp_path / "own")
    auto = {"config.json": "AutoConfig", "tokenizer_config.json": "AutoTokenizer"}.get(part, "AutoFeatureExtractor")
    named = ["theirs.Own", None] if auto == "AutoTokenizer" else "theirs.Own"
    kept = json.loads((own / part).read_text())
    classes = {"config.json": "model_type", "tokenizer_config.json": "tokenizer_class"}
    kept[classes.get(part, "feature_extractor_type")] = "own"
    (own / part).write_text(json.dumps(kept | {"auto_map": {auto: named, "AutoModelForCTC": "theirs.Own"}}))
    (own / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    with pytest.raises(ConfigError, match=r"^asr\.model: "):
        Wav2Vec2(str(own), Asr())
    assert not (tmp_path / "ran").exists()


def test_a_language_model_that_is_none_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.arpa").write_text("hello")
    with pytest.raises(ConfigError, match=r"asr\.language_model: .*none\.arpa"):
        Wav2Vec2(str(folder), Asr(language_model=str(tmp_path / "none.arpa")))


# --- decoding ---


def logprobs(*frames: dict[str, float]) -> ctc.LogProbs:
    """Frames by the probabilities of some tokens; what is left is shared by the others."""
    rows = [
        [frame.get(token, (1 - sum(frame.values())) / (len(TOKENS) - len(frame))) for token in TOKENS]
        for frame in frames
    ]
    return np.log(np.maximum(rows, 1e-9)).astype(np.float32)


def text(path: ctc.Frames, said: ctc.LogProbs) -> str:
    return "".join(one.symbol for one in ctc.spell(path, said, LETTERS))


def test_what_repeats_is_one_character_and_a_blank_parts_two() -> None:
    said = logprobs(*({token: 0.9} for token in ("A", "A", "n", "<pad>", "n", "|", "<unk>", "?")))
    found = list(ctc.spell(ctc.greedy(said), said, LETTERS))
    assert [(one.symbol, one.first, one.last) for one in found] == [
        ("A", 0, 2), ("n", 2, 3), ("n", 4, 5), (" ", 5, 6), ("?", 7, 8),
    ]  # fmt: skip
    assert found[0].logprob == pytest.approx(np.log(0.9), abs=1e-4)


def test_a_beam_finds_the_best_text_where_the_best_path_is_another() -> None:
    """Graves et al. 2006, figure 2: a blank is the best path, with 0.36, but `a` is the best text, with 0.64."""
    said = logprobs({"<pad>": 0.6, "a": 0.4}, {"<pad>": 0.6, "a": 0.4})
    assert text(ctc.greedy(said), said) == ""
    assert text(ctc.Beam(LETTERS, 5)(said), said) == "a"


def test_a_language_model_of_characters_decides_case_and_punctuation(arpa: Path) -> None:
    said = logprobs({"a": 0.55, "A": 0.45}, {"n": 0.9}, {"<pad>": 0.9}, {"n": 0.9}, {".": 0.55, "?": 0.45})
    assert text(ctc.Beam(LETTERS, 5)(said), said) == "ann."
    assert text(ctc.Beam(LETTERS, 5, arpa, weight=0.5)(said), said) == "Ann?"
    assert text(ctc.Beam(LETTERS, 5, arpa, weight=0.0)(said), said) == "ann."


def test_the_config_names_language_model_and_weight(folder: Path, arpa: Path, waves: list[np.ndarray]) -> None:
    bare, none, strong = (
        Wav2Vec2(str(folder), Asr(language_model=path, language_model_weight=weight)).transcribe(waves)
        for path, weight in ((None, 0.5), (str(arpa), 0.0), (str(arpa), 3.0))
    )
    assert bare == none
    assert [one.text for one in bare] != [one.text for one in strong]
