"""What the logits of all defects say about one of them."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from speech_defects import WEIGHTS, Defect
from speech_defects.model import Network
from speech_defects.scorer import read_network
from speech_defects.stacking import admitted, judged_apart, stacked


def drawn(seed: int = 1, count: int = 600):
    """A defect that shows in its own logit weakly, and in the second more; the others are noise."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.3).astype(np.float32)
    logits = rng.normal(0, 1, (count, 5)).astype(np.float32)
    logits[:, 0] += labels
    logits[:, 1] += 3 * labels
    return logits, labels, np.array([f"s{at % 30}" for at in range(count)])


def test_logits_count_as_they_tell() -> None:
    weights = stacked(*drawn())
    assert weights.dtype == np.float32
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 1.5 * weights[0] > 3 * weights[2:].max()


def test_no_logit_speaks_against_a_defect() -> None:
    logits, labels, sources = drawn()
    logits[:, 3] -= 2 * labels
    weights = stacked(logits, labels, sources)
    assert weights[3] == 0
    assert weights.min() == 0


def test_unlabelled_clips_are_not_used() -> None:
    logits, labels, sources = drawn()
    more = np.concatenate([logits, np.full((50, 5), 100, np.float32)])
    unknown = np.concatenate([labels, np.full(50, np.nan, np.float32)])
    weights = stacked(more, unknown, np.concatenate([sources, ["other"] * 50]))
    np.testing.assert_array_equal(weights, stacked(logits, labels, sources))


def test_a_source_of_many_alike_does_not_outweigh_the_others() -> None:
    logits, labels, sources = drawn()
    odd = np.tile(np.array([[3, -3, 0, 0, 0]], np.float32), (2_000, 1))
    many = np.concatenate([logits, odd]), np.concatenate([labels, np.ones(2_000, np.float32)])
    one_source = stacked(*many, np.concatenate([sources, ["odd"] * 2_000]))
    many_sources = stacked(*many, np.concatenate([sources, [f"odd{at}" for at in range(2_000)]]))
    assert one_source[1] / one_source[0] > many_sources[1] / many_sources[0]


def test_what_is_measured_counts_beside_the_logits_where_it_may() -> None:
    logits, labels, sources = drawn()
    lack = np.where(labels == 1, 3.0, 0.0)[:, None].astype(np.float32)
    evidence = np.concatenate([logits, lack], 1)
    for defect, counts in ((Defect.TELEPHONE, True), (Defect.NOISE, False)):
        weights = stacked(admitted(evidence, defect), labels, sources)
        assert weights[:5].sum() == pytest.approx(1)
        assert (weights[5] > 1) == counts


def test_a_source_is_judged_by_what_the_others_say() -> None:
    """Of one source all clips have the defect and a high logit that means the contrary elsewhere."""
    logits, labels, sources = drawn()
    logits[:, 4] -= 4 * labels
    odd = np.tile(np.array([[0, 0, 0, 0, 9]], np.float32), (600, 1))
    evidence = np.concatenate([logits, odd])
    more = np.concatenate([labels, np.ones(600, np.float32)]), np.concatenate([sources, ["odd"] * 600])
    apart, together = judged_apart(evidence, *more), evidence @ stacked(evidence, *more)
    assert abs(apart[-1]) < 1e-5 < together[-1]
    with pytest.raises(ValueError, match="two sources"):
        judged_apart(logits, labels, np.array(["one"] * len(labels)))


def test_a_network_judges_one_defect_by_all_logits(tmp_path) -> None:
    state = load_file(WEIGHTS)
    save_file(
        {name: value for name, value in state.items() if name not in ("mix", "band")}, tmp_path / "early.safetensors"
    )
    early = read_network(tmp_path / "early.safetensors")  # weights of before: each logit speaks for its own defect
    assert torch.equal(early.mix, torch.eye(len(Defect)))
    mixed = Network().eval()
    mixed.load_state_dict(early.state_dict() | {"mix": torch.eye(5)})
    mixed.mix[0] = torch.tensor([0.5, 0.0, 0.2, 0.0, 0.3])
    mixed.band[2] = 0.5
    waves, samples = torch.randn(2, 32_000) * 0.1, torch.tensor([32_000, 20_000])
    with torch.inference_mode():
        alone, both = early(waves, samples), mixed(waves, samples)
    assert torch.equal(both.clips[:, [1, 3, 4]], alone.clips[:, [1, 3, 4]])
    assert torch.equal(both.evidence[:, :5], alone.clips)
    assert torch.allclose(both.clips[:, 2], alone.clips[:, 2] + 0.5 * both.evidence[:, 5], atol=1e-5)
    assert torch.allclose(both.clips[:, 0], alone.clips @ mixed.mix[0], atol=1e-5)
    assert torch.equal(both.frames, alone.frames)
