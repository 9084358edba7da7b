"""Maximum attention over layers and heads, against what transformers' own network gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from paddock.evaluate import attention
from paddock.evaluate.attention import Attention, attention_of, maximum_attention, system_span, turns_within
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.text.chat_format import encode_dialog
from paddock.text.constraints import Constraint
from paddock.text.dialog import Dialog
from paddock.text.scripts import Script, as_dialog
from paddock.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = [f"Figure: Napoleon. say {n} words to me and I act as {n} Napoleon always" for n in range(100)]
SCRIPT = Script(("say 2", "say 3", "say 4"), "Always act as Napoleon.", (Constraint("figure", "Napoleon"),))
REPLIES = ("Napoleon 2", "Napoleon 3", "Napoleon 4")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 300)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    network = Transformer(ModelConfig(300, 32, 2, 4, 2, 48, context_length=160)).eval()
    with torch.no_grad():  # fresh weights attend almost evenly
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return network


@pytest.fixture(scope="module")
def reference(model: Transformer, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory):
    """ids -> (T, T): the maximum over transformers' attentions, all layers and heads."""
    folder: Path = tmp_path_factory.mktemp("model")
    save_model(model, folder, tokenizer)
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")

    def maximum(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            layers = theirs(input_ids=torch.as_tensor(ids)[None], output_attentions=True).attentions
        return torch.stack(layers)[:, 0].amax(dim=(0, 1)).numpy()

    return maximum


@pytest.mark.parametrize("queries", [7, 256])
def test_the_maximum_is_that_of_transformers_attentions(model, reference, queries: int, monkeypatch):
    monkeypatch.setattr(attention, "QUERIES_AT_A_TIME", queries)
    ids = np.random.default_rng(0).integers(0, 300, 50)
    picture, to_span = maximum_attention(model, ids, (3, 9), bins=50)
    expected = reference(ids)
    assert expected.max() > 0.5
    np.testing.assert_allclose(picture, expected, atol=1e-5)
    np.testing.assert_allclose(to_span, expected[:, 3:9].max(axis=1), atol=1e-5)


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 20))
def test_a_bin_holds_the_maximum_of_its_neighbouring_tokens(model, reference, tokens: int, bins: int):
    ids = np.random.default_rng(tokens).integers(0, 300, tokens)
    picture, _ = maximum_attention(model, ids, (0, 1), bins)
    expected, size = reference(ids), -(-tokens // bins)
    assert len(picture) <= bins
    for row in range(len(picture)):
        for column in range(len(picture)):
            cell = expected[row * size : (row + 1) * size, column * size : (column + 1) * size]
            assert picture[row, column] == pytest.approx(cell.max(), abs=1e-5)


def test_nothing_attends_to_what_comes_later(model):
    picture, _ = maximum_attention(model, np.arange(40), (0, 1), bins=40)
    assert np.all(np.triu(picture, 1) == 0)
    assert picture[0, 0] == pytest.approx(1)


@pytest.mark.parametrize(("slot", "before"), [("system", "<<SYS>>\n"), ("head", "[INST]")])
def test_the_span_is_the_instructions_tokens(tokenizer: Tokenizer, slot, before: str):
    ids = encode_dialog(tokenizer, as_dialog(SCRIPT, REPLIES, slot)).ids
    begin, end = system_span(tokenizer, ids, SCRIPT.instruction, slot)
    assert tokenizer.decode(ids[begin:end]).strip() == SCRIPT.instruction
    assert tokenizer.decode(ids[:begin]).rstrip(" ").endswith(before)


def test_turns_begin_with_their_users_message(model, tokenizer: Tokenizer):
    dialog = as_dialog(SCRIPT, REPLIES, "system")
    found = attention_of(model, tokenizer, dialog, SCRIPT.instruction, "system")
    ids = encode_dialog(tokenizer, dialog).ids
    assert tokenizer.decode([i for i, turn in zip(ids, found.turns, strict=True) if turn == 2]).startswith("[INST] say 3")
    assert set(found.by_turn()) == {2, 3}


def test_a_turns_figure_is_the_mean_over_its_tokens_worked_by_hand():
    turns, to_system = np.array([1, 1, 2, 2, 3]), np.array([1, 1, 0.2, 0.4, 0.1], np.float32)
    assert Attention(np.zeros((1, 1)), to_system, turns, (1, 2)).by_turn() == pytest.approx({2: 0.3, 3: 0.1})


def test_whole_turns_alone_are_counted_within_a_context(tokenizer: Tokenizer):
    dialog = as_dialog(SCRIPT, REPLIES, "system")
    ends = [len(encode_dialog(tokenizer, Dialog(dialog.messages[: 1 + 2 * n])).ids) for n in (1, 2, 3)]
    for turns, end in enumerate(ends, start=1):
        assert turns_within(tokenizer, dialog, end) == turns
        assert turns_within(tokenizer, dialog, end - 1) == turns - 1
    assert turns_within(tokenizer, dialog, 10_000) == 3
