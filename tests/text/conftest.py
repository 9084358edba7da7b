"""Tokenizers, and texts that are hard for them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from paddock.text.tokenizer import Tokenizer, train_tokenizer

VOCABULARY = """
the a paddock horse grazes near an old river and walls while children count 12 lambs, 340 hens & 7 goats; what do you know?
I do not know. sing slowly! über naïve café 日本 語 :-) [INST] [/INST] <<SYS>> <</SYS>>
"""
WORDS = VOCABULARY.split()


def some_texts(count: int = 400, seed: int = 0) -> list[str]:
    """Nonsense of plain words, with runs of spaces, line ends and tabs now and then."""
    rng = random.Random(seed)
    gaps = [" "] * 8 + ["  ", "    ", "\n", "\t"]
    return ["".join(rng.choice(WORDS) + rng.choice(gaps) for _ in range(rng.randint(3, 40))) for _ in range(count)]


HARD_TEXTS = [
    "",
    " ",
    " one leading space",
    "   three leading spaces",
    "trailing   ",
    "a\tb\t\tc",
    "x   y      z",
    " " * 17 + "x" + " " * 40,
    "line\nline\r\n\n\nline",
    "🦙🎉 family 👩‍👩‍👧 flag 🇫🇷",
    "日本語のテスト、中文测试。한국어",
    "مرحبا \u202eabc\u202c \u200f\u2066x\u2069",
    "control \x00\x01\x07\x1b[0m \x7f",
    "\ufeffbyte-order mark",
    "no-break\u00a0space ideographic\u3000space \u200bzero width",
    "e\u0301 é ﬁ ½ Ⅻ",
    "1234567890 3.14 0x1F -5e10",
    "\u2581 the space sign \u2581\u2581",
    "<s>written out</s> <unk> <0x0A>",
    "[INST] tags [/INST] <<SYS>> <</SYS>>",
    "\ud7ff\ue000\uffff\U0010ffff",
]


@pytest.fixture(scope="session")
def hard_texts() -> list[str]:
    return HARD_TEXTS


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return train_tokenizer(some_texts(), vocab_size=500)


@pytest.fixture(scope="session")
def released_tokenizer(real_data: Path) -> Tokenizer:
    return Tokenizer.load(real_data / "llama2c" / "tokenizer.model")


@pytest.fixture(scope="session", params=["small_tokenizer", "released_tokenizer"])
def in_both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, PreTrainedTokenizerBase]:
    """A tokenizer of ours, and what transformers opens where it was saved, beside the `config.json` of a Llama model."""
    tokenizer: Tokenizer = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save(folder)
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    return tokenizer, AutoTokenizer.from_pretrained(folder)
