from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.evaluate.perplexity import batches, perplexity, windows
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.text.tokenizer import train_tokenizer


@given(st.integers(0, 60), st.integers(1, 20))
def test_every_token_but_the_first_is_a_target_once(length: int, context: int):
    cut = list(windows(list(range(length)), context))
    assert [token for window in cut for token in window[1:]] == list(range(1, length))
    assert all(2 <= len(window) <= context + 1 for window in cut)


@given(st.lists(st.integers(1, 4), max_size=60))
def test_batches_keep_the_order_and_one_length_each(lengths: list[int]):
    rows = [[place] * length for place, length in enumerate(lengths)]
    gathered = list(batches(rows))
    assert [row for batch in gathered for row in batch] == rows
    assert all(len({len(row) for row in batch}) == 1 for batch in gathered)


@pytest.fixture(scope="module")
def uniform():
    """A model whose every token has the same probability, and its tokenizer."""
    tokenizer = train_tokenizer([f"the cat sat {n} times on the mat" for n in range(100)], 290)
    model = Transformer(ModelConfig(290, 16, 1, 2, 1, 32, context_length=8))
    torch.nn.init.zeros_(model.head.weight)
    return model, tokenizer


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity(uniform):
    model, tokenizer = uniform
    found = perplexity(model, tokenizer, ["the cat sat on the mat " * 5, "the mat"])
    assert found.perplexity == pytest.approx(290)
    assert found.loss == pytest.approx(math.log(290))
    assert found.documents == 2
    assert found.bits_per_byte == pytest.approx(found.tokens * math.log2(290) / (len("the cat sat on the mat ") * 5 + 7))


def test_no_text_is_refused_by_name(uniform):
    with pytest.raises(DataError, match=r"empty\.txt: holds no text to score"):
        perplexity(*uniform, [], "empty.txt")
