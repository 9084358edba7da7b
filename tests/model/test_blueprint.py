"""Models before they have weights: any rows of a parameter, however they are asked for, are the rows of the whole."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.blueprint import Blueprint, fresh_model
from paddock.model.checkpoint import load_model, model_from, reward_model_from, save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import INIT_STD

CONFIG = ModelConfig(71, 24, 2, 4, 2, 41, context_length=16)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A way to begin anew with a fresh model, a stored one, and a stored one with a fresh head."""
    folder = tmp_path_factory.mktemp("model")
    save_model(fresh_model(CONFIG, seed=1).build(), folder)
    return [lambda: fresh_model(CONFIG, seed=1), lambda: model_from(folder), lambda: reward_model_from(folder, seed=2)]


@given(data=st.data())
def test_any_rows_are_those_of_the_whole(sources, data):
    source = data.draw(st.sampled_from(sources))
    expected = dict(source().build().named_parameters())
    name = data.draw(st.sampled_from(sorted(expected)))
    first = data.draw(st.integers(0, len(expected[name])))
    last = data.draw(st.integers(first, len(expected[name])))
    rows = torch.full_like(expected[name][first:last], torch.nan)
    with torch.no_grad():
        source().fill(name, first, rows)
    assert torch.equal(rows, expected[name][first:last])


def test_nothing_is_made_before_a_model_is_built(sources):
    for source in sources:
        blueprint: Blueprint = source()
        assert all(parameter.is_meta for parameter in blueprint.model.parameters())


def test_a_stored_model_is_built_as_it_was_stored(sources):
    fresh, stored, _ = (source().build().state_dict() for source in sources)
    assert all(torch.equal(fresh[name], stored[name]) for name in fresh)


def test_what_is_loaded_to_be_trained_is_float32(tmp_path):
    save_model(fresh_model(CONFIG, seed=1).build(), tmp_path, dtype=torch.bfloat16)
    assert load_model(tmp_path).embedding.weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in model_from(tmp_path).build().parameters()} == {torch.float32}


def test_fresh_weights_are_of_the_size_that_training_needs():
    """GPT-2's: 0.02, less by the square root of twice the depth where a matrix writes to the residual; norms at one."""
    model = fresh_model(ModelConfig(400, 128, 2, 4, 2, 350, context_length=8), seed=0).build()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 1).all()
        else:
            writes = "output" in name or "down" in name
            expected = INIT_STD / math.sqrt(4) if writes else INIT_STD
            assert parameter.std().item() == pytest.approx(expected, rel=0.03), name


def test_the_seed_decides_fresh_weights_and_each_parameter_has_its_own():
    first, again, other = (fresh_model(CONFIG, seed).build() for seed in (3, 3, 4))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert not torch.equal(first.head.weight, first.embedding.weight)


def test_fresh_weights_leave_torchs_own_generator_alone():
    before = torch.get_rng_state()
    fresh_model(CONFIG, seed=3).build()
    assert torch.equal(torch.get_rng_state(), before)
