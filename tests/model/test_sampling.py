from math import inf, nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from paddock.errors import PaddockError
from paddock.model.sampling import choose, inverse_cumulative, truncate, uniform_numbers
from paddock.protocols import Sampling


def probabilities(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_tokens_are_drawn_in_proportion_to_their_probability():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 0.5]])
    uniform = uniform_numbers(seed=3, prompt=0, sample=0, count=20_000)
    tokens, _ = choose(logits.expand(20_000, -1), uniform, Sampling(temperature=0.7))
    expected = (logits[0] / 0.7).double().softmax(-1) * 20_000
    assert chisquare(tokens.bincount(minlength=5).numpy(), expected.numpy()).pvalue > 0.01


def test_log_probs_are_of_the_whole_distribution_at_the_temperature():
    logits = torch.randn(4, 9)
    tokens, log_probs = choose(logits, torch.rand(4), Sampling(temperature=0.5, top_k=2, top_p=0.9))
    expected = (logits / 0.5).log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    torch.testing.assert_close(log_probs, expected)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ids_beyond_the_vocabulary_are_never_chosen_however_likely(temperature):
    logits = torch.tensor([[0.0, 1.0, 2000.0, 2000.0]]).expand(500, -1)
    tokens, log_probs = choose(logits, torch.rand(500), Sampling(temperature=temperature), vocabulary=2)
    assert set(tokens.tolist()) == ({1} if temperature == 0 else {0, 1})
    torch.testing.assert_close(log_probs, logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0])


def test_a_vocabulary_of_all_ids_changes_no_bit():
    logits, uniform, sampling = torch.randn(64, 9), torch.rand(64), Sampling(temperature=0.7, top_p=0.9)
    for whole, named in zip(choose(logits, uniform, sampling), choose(logits, uniform, sampling, 9), strict=True):
        assert torch.equal(whole, named)


def test_greedy_takes_the_most_probable_token_with_its_log_prob_at_temperature_one():
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    tokens, log_probs = choose(logits, torch.rand(1), Sampling(temperature=0))
    assert tokens.tolist() == [1]
    assert log_probs.item() == pytest.approx(logits[0].log_softmax(-1)[1].item())


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("broken", [[0, 0, nan], [nan, 0, 0], [0, inf, 0], [-inf, -inf, -inf], [nan, inf, -inf]])
def test_logits_that_are_not_finite_are_refused(temperature, broken):
    logits = probabilities([0, 1, 2], broken)
    with pytest.raises(PaddockError, match=r"logits are not finite.*take an earlier checkpoint"):
        choose(logits, torch.rand(2), Sampling(temperature=temperature, top_k=2, top_p=0.9))


def test_a_token_that_is_ruled_out_does_no_harm():
    tokens, log_probs = choose(probabilities([-inf, 0, 0]), torch.rand(1), Sampling())
    assert tokens.item() in (1, 2)
    assert log_probs.item() == pytest.approx(-0.6931, abs=1e-4)


def test_top_k_keeps_the_k_most_probable():
    kept = truncate(probabilities([0.1, 0.4, 0.2, 0.3]), top_k=2, top_p=1.0)
    torch.testing.assert_close(kept, probabilities([0, 0.4, 0, 0.3]))


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, [1]), (0.4, [1]), (0.41, [1, 3]), (0.95, [0, 1, 2, 3]), (0.0, [1])])
def test_top_p_keeps_the_fewest_that_hold_p(top_p, kept):
    left = truncate(probabilities([0.1, 0.4, 0.2, 0.3]), top_k=0, top_p=top_p)
    assert left[0].nonzero()[:, 0].tolist() == kept


def test_top_p_is_a_share_of_what_top_k_left():
    left = truncate(probabilities([0.1, 0.4, 0.2, 0.3]), top_k=2, top_p=0.6)  # 0.6 of 0.7
    assert left[0].nonzero()[:, 0].tolist() == [1, 3]


def test_top_p_equals_transformers():
    from transformers import TopPLogitsWarper

    logits = torch.randn(30, 500, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 5, 30)[:, None]
    for top_p in (0.1, 0.5, 0.9, 0.99):
        expected = TopPLogitsWarper(top_p)(None, logits).isfinite()
        assert torch.equal(truncate(logits.softmax(-1), 0, top_p) > 0, expected)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([0.0, 1e-30, 0.1, 1.0, 3e8]), min_size=1, max_size=20).filter(any),
    st.floats(0, 1, width=32, exclude_max=True),
)
def test_a_token_of_no_weight_is_never_drawn(weights, uniform):
    token = inverse_cumulative(probabilities(weights), torch.tensor([uniform]))
    assert weights[int(token)] > 0


def test_random_numbers_depend_on_seed_prompt_and_sample_and_nothing_else():
    keys = [(seed, prompt, sample) for seed in range(3) for prompt in range(3) for sample in range(3)]
    drawn = {key: tuple(uniform_numbers(*key, count=5).tolist()) for key in keys}
    assert len(set(drawn.values())) == len(keys)
    assert all(tuple(uniform_numbers(*key, count=9)[:5].tolist()) == drawn[key] for key in keys)
    assert all(0 <= number < 1 for numbers in drawn.values() for number in numbers)
