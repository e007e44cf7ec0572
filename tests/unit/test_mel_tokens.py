"""Mel tokens: the front end, the layouts of checkpoints, and that a token is a function of wave and weights alone."""

from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from speechmill.tokens import encode, mel
from speechmill.tokens.dvae import DVAE, Sizes, WrongCheckpointError, from_state, load, save
from speechmill.tokens.encode import MelTokenizer

SMALL = Sizes(codes=512, code_dim=16, hidden=24, blocks=2)


@pytest.fixture(scope="module")
def waves(speech) -> list[np.ndarray]:
    """Speech of several lengths at 22,050 Hz."""
    wave = np.asarray(soxr.resample(speech, 24_000, mel.RATE), np.float32)
    return [
        wave[first : first + length] for first, length in ((0, 61_440), (9_000, 30_000), (40_000, 1_023), (7, 88_201))
    ]


@pytest.fixture(scope="module")
def model(waves) -> DVAE:
    """A small dVAE with random weights whose codes are near what its encoder makes of speech."""
    torch.manual_seed(1)
    made = DVAE(SMALL)
    with torch.no_grad():
        z = torch.cat([exact_z(made, wave).float() for wave in waves])
        made.encoder[-1].weight /= z.std()
        made.encoder[-1].bias.sub_(z.mean(0)).div_(z.std())
        z = (z - z.mean(0)) / z.std()
        made.codebook.embed.copy_((z[torch.randint(len(z), (512,))] + 0.3 * torch.randn(512, 16)).T)
    return made.eval()


def exact_z(model: DVAE, wave: np.ndarray) -> torch.Tensor:
    """What the encoder makes of a wave, float64[tokens, dim], in the plainest way."""
    padded = torch.from_numpy(np.concatenate([wave, np.zeros(8_192, np.float32)])).double()[None]
    mels = mel.log_mel(mel.mirrored(padded), torch.tensor(mel.NORMS))
    state = {key: tensor.double() for key, tensor in model.state_dict().items()}
    twin = DVAE(model.sizes).double()
    twin.load_state_dict(state)
    with torch.inference_mode():
        return twin.encoder(mels)[0].T[: len(wave) // 1_024 + 1]


def nearest(z: torch.Tensor, embed: torch.Tensor) -> np.ndarray:
    return torch.cdist(z, embed.T.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1).numpy()


# --- front end ---


def reference_mel(wave: np.ndarray) -> np.ndarray:
    """TorToiSe's spectrogram written anew in NumPy: float64[80, S // 256 + 1]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    starts = range(0, len(padded) - 1_023, 256)
    power = np.stack([np.abs(np.fft.rfft(padded[at : at + 1_024] * window)) ** 2 for at in starts])
    top = 2_595 * np.log10(1 + 8_000 / 700)
    edges = [700 * (10 ** (at * top / 81 / 2_595) - 1) for at in range(82)]
    hertz = np.arange(513) * 22_050 / 1_024
    bands = np.zeros((513, 80))
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:])):
        for row, at in enumerate(hertz):
            if low < at < high:
                height = (at - low) / (middle - low) if at <= middle else (high - at) / (high - middle)
                bands[row, band] = height * 2 / (high - low)
    return np.log(np.maximum(power @ bands, 1e-5)).T / np.array(mel.NORMS)[:, None]


def test_the_spectrogram_is_tortoises(waves):
    for wave in waves:
        found = mel.log_mel(mel.mirrored(torch.from_numpy(wave)[None]), torch.tensor(mel.NORMS))[0]
        assert found.shape == (80, len(wave) // 256 + 1)
        np.testing.assert_allclose(found.numpy(), reference_mel(wave), atol=1e-4)


def test_silence_is_the_floor_over_the_norms():
    silent = mel.log_mel(mel.mirrored(torch.zeros(1, 4_096)), torch.tensor(mel.NORMS))[0]
    np.testing.assert_allclose(silent[:, 3].numpy(), np.log(1e-5) / np.array(mel.NORMS), rtol=1e-6)


# --- tokens ---


@pytest.mark.parametrize("length", [513, 1_023, 1_024, 1_025, 22_050, 255_995])
def test_a_clip_has_a_token_for_each_1024_samples_begun(model, length):
    (codes,) = MelTokenizer(model).encode([np.zeros(length, np.float32)])
    assert codes.dtype == np.uint16
    assert len(codes) == length // 1_024 + 1


def test_tokens_are_the_nearest_codes_in_float64(model, waves):
    for wave, codes in zip(waves, MelTokenizer(model).encode(waves)):
        np.testing.assert_array_equal(codes, nearest(exact_z(model, wave), model.codebook.embed))


@pytest.mark.parametrize("threads", [1, 2])
def test_tokens_do_not_depend_on_batch_order_or_threads(model, waves, threads, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        tokenizer = MelTokenizer(model)
        together = tokenizer.encode([*waves, *waves[::-1]])
        monkeypatch.setitem(encode.BATCH_SAMPLES, "cpu", 1)
        alone = [tokenizer.encode([wave])[0] for wave in waves]
    finally:
        torch.set_num_threads(before)
    for found, wanted in zip(together, [*alone, *alone[::-1]]):
        np.testing.assert_array_equal(found, wanted)


def test_close_calls_are_decided_in_float64(model, waves):
    """Every code has a twin that differs by less than float32 can tell, in half of the cases the nearer one."""
    twins = from_state(model.state_dict())
    rng = torch.Generator().manual_seed(2)
    half = twins.codebook.embed[:, :256]
    shift = 2e-7 * half.abs() * torch.randn(half.shape, generator=rng).sign()
    twins.codebook.embed[:, 256:] = half + shift
    tokenizer = MelTokenizer(twins)
    in_float32 = []
    for wave, codes in zip(waves, tokenizer.encode(waves)):
        z = exact_z(twins, wave)
        np.testing.assert_array_equal(codes, nearest(z, twins.codebook.embed))
        in_float32.append((twins.codebook.distances(z.float()).argmin(1).numpy() != codes).mean())
    assert max(in_float32) > 0.05  # the arithmetic that was not trusted would have been wrong


def test_float32_is_off_by_far_less_than_what_counts_as_close(model, waves):
    embed = model.codebook.embed
    for wave in waves:
        z = exact_z(model, wave)
        off = (
            model.codebook.distances(z.float()).double() - (embed.double().square().sum(0) - 2 * z @ embed.double())
        ).abs()
        assert float((off / (z.square().sum(1, keepdim=True) + embed.square().sum(0))).max()) < encode.CLOSE / 10


def test_the_profile_names_what_tokens_depend_on(model):
    base = MelTokenizer(model).profile
    decoder, encoder, book = (from_state(model.state_dict()) for _ in range(3))
    decoder.decoder[0].bias.data += 1
    encoder.encoder[5 - 1].bias.data += 1e-3
    book.codebook.embed[0, 0] += 1e-3
    assert MelTokenizer(decoder).profile == base == MelTokenizer(from_state(model.state_dict())).profile
    others = {MelTokenizer(encoder).profile, MelTokenizer(book).profile}
    others |= {MelTokenizer(model, [*mel.NORMS[:-1], -9.0]).profile}
    assert len(others | {base}) == 4


def test_a_model_of_other_bins_or_reach_is_refused(model):
    with pytest.raises(WrongCheckpointError, match="100 bins"):
        MelTokenizer(DVAE(Sizes(64, 8, 16, 2, bins=100)))
    with pytest.raises(WrongCheckpointError, match="79 norms"):
        MelTokenizer(model, mel.NORMS[1:])
    with pytest.raises(WrongCheckpointError, match="4 blocks hear more"):
        MelTokenizer(DVAE(Sizes(64, 8, 16, 4)))


# --- layouts ---


def test_tortoises_layout_has_its_keys_and_shapes():
    shapes = {key: tuple(tensor.shape) for key, tensor in DVAE(Sizes()).state_dict().items()}
    assert len(shapes) == 53
    known = {
        "encoder.0.0.weight": (512, 80, 3), "encoder.1.0.weight": (1024, 512, 3),
        "encoder.4.net.2.weight": (1024, 1024, 3), "encoder.2.net.4.bias": (1024,), "encoder.5.weight": (512, 1024, 1),
        "decoder.0.weight": (1024, 512, 1), "decoder.3.net.4.weight": (1024, 1024, 1),
        "decoder.4.0.conv.weight": (1024, 1024, 3), "decoder.5.0.conv.weight": (512, 1024, 3),
        "decoder.6.weight": (80, 512, 1), "codebook.embed": (512, 8192), "codebook.cluster_size": (8192,),
        "codebook.embed_avg": (512, 8192),
    }  # fmt: skip
    assert known.items() <= shapes.items()
    assert sum(parameter.numel() for parameter in DVAE(Sizes()).parameters()) == 51_567_184


def other_codebook(state):
    """As vector-quantize-pytorch names it."""
    found = {key: tensor for key, tensor in state.items() if not key.startswith("codebook.")}
    found["codebook._codebook.embed"] = state["codebook.embed"].T[None]
    found["codebook._codebook.embed_avg"] = state["codebook.embed_avg"].T[None]
    found["codebook._codebook.cluster_size"] = state["codebook.cluster_size"][None]
    return found | {"codebook._codebook.initted": torch.tensor([True])}


LAYOUTS = {
    "tortoise": dict,
    "xtts": lambda state: state | {"discrete_loss.accumulator": torch.zeros(100, 512)},
    "in a trainer's checkpoint": lambda state: {"model": state, "step": torch.tensor(3)},
    "vector-quantize-pytorch": other_codebook,
}
FLAT = [layout for layout in LAYOUTS if "trainer" not in layout]  # a safetensors file has no keys of keys


@pytest.mark.parametrize(
    ("layout", "suffix"), [(layout, ".pth") for layout in LAYOUTS] + [(layout, ".safetensors") for layout in FLAT]
)
def test_every_layout_gives_the_same_tokens(model, waves, tmp_path, layout, suffix):
    state = LAYOUTS[layout](dict(model.state_dict()))
    path = tmp_path / f"dvae{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        from safetensors.torch import save_file

        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    found = load(path)
    assert found.sizes == SMALL
    assert MelTokenizer(found).profile == MelTokenizer(model).profile
    for one, other in zip(MelTokenizer(found).encode(waves), MelTokenizer(model).encode(waves)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_saved_is_read_back_by_a_strict_loader(model, tmp_path, suffix):
    path = tmp_path / f"dvae{suffix}"
    save(model, path)
    assert load(path).state_dict().keys() == model.state_dict().keys()
    mels = load(path).decode(torch.tensor([[3, 500, 0]]))
    assert mels.shape == (1, 80, 12)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda state: state | {"encoder.9.weight": torch.zeros(1)}, r"unknown: encoder\.9\.weight"),
        (lambda state: {key: t for key, t in state.items() if key != "decoder.0.bias"}, r"missing: decoder\.0\.bias"),
        (lambda state: state | {"decoder.0.bias": torch.zeros(7)}, r"of another shape: decoder\.0\.bias"),
        (lambda _: {}, "no keys"),
        (lambda state: state | {"encoder.2.0.weight": torch.zeros(1)}, "3 strided layers"),
    ],
)
def test_what_is_no_dvae_is_refused_by_name(model, change, why):
    with pytest.raises(WrongCheckpointError, match=why):
        from_state(change(dict(model.state_dict())))


class Marker:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_fault_36_code_in_a_checkpoint_is_not_run(model, tmp_path):
    torch.save(dict(model.state_dict()) | {"more": Marker(tmp_path / "ran")}, tmp_path / "dvae.pth")
    with pytest.raises(WrongCheckpointError, match="more than weights"):
        load(tmp_path / "dvae.pth")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(WrongCheckpointError, match="no safetensors file"):
        load(tmp_path / "broken.safetensors")
