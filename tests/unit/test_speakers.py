import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from speech_defects.adapters import SegmentationModel, packaged
from speech_defects.packages import ensure_torchaudio
from speechmill import speakers
from speechmill.speakers import ECAPA_FILES, files_of
from speechmill.speakers.campplus import features, read_network
from speechmill.speakers.campplus_folded import Folded
from speechmill.speakers.campplus_network import Network
from speechmill.speakers.ecapa import read_settings
from speechmill.speakers.turns import STEP

RATE = speakers.SAMPLE_RATE_HZ
SETTINGS = """
n_mels: 40
output: !apply:pathlib.Path.touch [PROOF]
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 16, 16, 48]
    kernel_sizes: [5, 3, 3, 1]
    dilations: [1, 2, 3, 1]
    groups: [1, 1, 1, 1]
    attention_channels: 8
    lin_neurons: 12
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
"""


@pytest.fixture(scope="module")
def campplus():
    return speakers.load("campplus", "cpu")


@pytest.fixture(scope="module")
def voices(speech):
    """Three mouths, small to large, two passages each."""
    at = [round(size * RATE) for size in (0.8, 1.0, 1.2)]
    return [
        [soxr.resample(part, 24_000, rate).astype(np.float32) for part in np.array_split(speech, 4)[:2]] for rate in at
    ]


@pytest.fixture
def ecapa(tmp_path: Path) -> Path:
    """A folder as SpeechBrain publishes it, with a small network and a program in its settings."""
    ensure_torchaudio()
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    chosen = read_settings(SETTINGS)
    torch.manual_seed(0)
    network = ECAPA_TDNN(chosen.pop("input_size"), **chosen)
    torch.save(network.state_dict(), tmp_path / ECAPA_FILES[0])
    settings = SETTINGS.replace("PROOF", json.dumps(str(tmp_path / "proof")))
    (tmp_path / ECAPA_FILES[1]).write_text(settings)
    return tmp_path


def test_passages_of_one_voice_are_nearer_than_those_of_others(campplus, voices):
    first, second = (campplus.embed([voice[at] for voice in voices]) for at in (0, 1))
    cosines = first @ second.T
    assert cosines.diagonal().min() > 0.7
    assert (cosines - 2 * np.eye(3)).max() < cosines.diagonal().min() - 0.2


def test_an_embedding_is_a_rounded_unit_vector_that_depends_on_its_clip_alone(campplus, voices):
    clips = [voices[0][0], voices[1][1][: 5 * RATE], voices[2][0][: 3 * RATE]]
    together = campplus.embed(clips)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(together, np.round(together, speakers.DIGITS))
    for clip, row in zip(clips, together, strict=True):
        np.testing.assert_array_equal(campplus.embed([clip])[0], row)


@pytest.mark.parametrize("wave", [np.zeros(100, np.float32), np.zeros((2, RATE), np.float32)])
def test_what_is_no_clip_is_told(campplus, wave):
    with pytest.raises(ValueError, match="or longer"):
        campplus.embed([wave])


def test_campplus_hears_what_kaldi_computes(speech):
    ensure_torchaudio()
    from torchaudio.compliance import kaldi

    wave = soxr.resample(speech[: 24_000 * 5], 24_000, RATE).astype(np.float32)
    wanted = kaldi.fbank(torch.from_numpy(wave)[None], num_mel_bins=80, sample_frequency=RATE, dither=0.0)
    torch.testing.assert_close(features(wave), wanted - wanted.mean(0), atol=2e-3, rtol=0)


def test_a_file_of_weights_is_loaded_like_the_package(campplus, voices, tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(files_of("campplus")[0].read_bytes())
    np.testing.assert_array_equal(speakers.load(str(path), "cpu").embed(voices[0]), campplus.embed(voices[0]))


@pytest.mark.parametrize("frames", [25, 200, 333, 1_001])
def test_folded_normalisations_change_no_embedding(voices, frames):
    network = read_network(files_of("campplus")[0].read_bytes()).eval()
    bands = features(np.resize(voices[0][0], RATE * 11))[None, :frames]
    with torch.inference_mode():
        wanted, given = network(bands), Folded(network)(bands)
    torch.testing.assert_close(given, wanted, atol=1e-4, rtol=1e-4)


def test_other_sizes_of_embeddings_load_too(tmp_path):
    torch.save(Network(24).state_dict(), tmp_path / "small.pt")
    wave = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert speakers.load(str(tmp_path / "small.pt"), "cpu").embed([wave]).shape == (1, 24)


class Harmful:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_nothing_in_a_file_of_weights_runs(tmp_path):
    saved = io.BytesIO()
    torch.save({"xvector.dense.linear.weight": Harmful(tmp_path / "proof")}, saved)
    with pytest.raises(ValueError, match="not weights of CAM"):
        read_network(saved.getvalue())
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"\x80\x02N."])
def test_what_is_no_file_of_weights_is_told(content):
    with pytest.raises(ValueError, match="not weights of CAM"):
        read_network(content)


def test_ecapa_embeds_as_speechbrain_does_and_runs_nothing_of_its_settings(ecapa, voices):
    clips = voices[0] + voices[1]
    found = speakers.load(str(ecapa), "cpu").embed(clips)
    assert not (ecapa / "proof").exists()
    from speechbrain.inference.speaker import EncoderClassifier

    its_own = EncoderClassifier.from_hparams(source=str(ecapa), savedir=str(ecapa / "cache"))
    assert (ecapa / "proof").exists()  # it does
    wanted = torch.cat([its_own.encode_batch(torch.from_numpy(clip)[None])[:, 0] for clip in clips])
    wanted = torch.nn.functional.normalize(wanted, dim=1).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert np.ptp(found, axis=0).max() > 0.01  # clips differ


def test_a_folder_that_is_no_ecapa_is_told(ecapa):
    (ecapa / ECAPA_FILES[1]).write_text("n_mels: 80")
    with pytest.raises(ValueError, match="not an ECAPA-TDNN of SpeechBrain"):
        speakers.load(str(ecapa), "cpu")


def test_a_model_that_is_not_there_is_told():
    with pytest.raises(FileNotFoundError):
        speakers.load("nowhere/weights.pt", "cpu")


@pytest.mark.shared_data
def test_real_readers_are_told_apart(campplus, shared_data):
    clips = sorted((shared_data / "clean_speech" / "librispeech_other").glob("*.flac"))[::2]
    embeddings = campplus.embed([soundfile.read(clip, dtype="float32")[0] for clip in clips])
    readers = np.array([clip.stem.split("-")[0] for clip in clips])
    upper = np.triu_indices(len(clips), 1)
    cosines, same = (embeddings @ embeddings.T)[upper], (readers[:, None] == readers)[upper]
    limit = np.quantile(cosines[same], 0.02)
    assert len(set(readers)) == 10
    assert (cosines[~same] >= limit).mean() < 0.02


def test_turns_from_any_speaker_model_and_from_the_frames_of_campplus(ecapa, voices):
    wave = voices[0][0][: 47 * STEP + 100]
    for model, width in ((str(ecapa), None), ("campplus", 1024)):
        statistics = speakers.load_statistics(model)
        sums = np.concatenate(list(statistics.sums(wave)))
        assert sums.shape[0] == 47
        assert width in (None, sums.shape[1])
        rows = statistics.embed(np.stack([sums[:20].sum(0), sums[20:].sum(0)]), np.array([20, 27]))
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_pooled_statistics_embed_as_the_network_does(voices):
    wave = voices[0][0][: 20 * STEP]
    statistics = speakers.load_statistics("campplus")
    pooled = statistics.embed(sum(part.sum(0) for part in statistics.sums(wave))[None], np.array([20]))[0]
    cosine = float(pooled @ speakers.load("campplus", "cpu").embed([wave])[0])
    assert cosine > 0.95  # the frames at the ends are padded, so that steps have five each


def test_segmentation_runs_as_in_pyannote_audio(voices):
    """The network here and that of pyannote.audio, with the weights that each of them reads."""
    model = SegmentationModel(packaged().read_bytes(), "cpu")
    wave = np.resize(voices[0][0] + np.roll(voices[0][0], 12_345), 100 * STEP)
    theirs, centres = model.frames(wave)
    step = np.minimum(centres // STEP, 99)
    steps = np.bincount(step, theirs, 100) / np.bincount(step, minlength=100)
    ours = speakers.load_overlap(speakers.SEGMENTATION).probabilities(wave)
    assert ours.max() > 0.5  # or else nothing would be compared
    assert np.abs(ours - steps).max() < 0.02
    plugged_in = speakers.load_overlap(str(packaged())).probabilities(wave)  # as a checkpoint of a user's own
    assert np.abs(plugged_in - ours).mean() < 0.05
