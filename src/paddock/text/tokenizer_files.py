"""The files that let transformers open a SentencePiece tokenizer and give the same ids; written without transformers.

`tokenizer.json` describes the tokenizer to the `tokenizers` library: the pieces, and the merges in SentencePiece's order.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from sentencepiece import SentencePieceProcessor

from paddock.run_dir import to_json

SPACE = "▁"


def hugging_face_files(processor: SentencePieceProcessor) -> dict[str, str]:
    """Name and content of each file to lay beside `tokenizer.model`."""
    return {
        "tokenizer.json": json.dumps(tokenizer_json(processor), ensure_ascii=False),
        "tokenizer_config.json": to_json(tokenizer_config(processor)),
        "chat_template.jinja": resources.files("paddock.text").joinpath("chat_template.jinja").read_text(encoding="utf-8"),
    }


def tokenizer_config(processor: SentencePieceProcessor) -> dict[str, Any]:
    """What transformers reads first.

    The class is the generic one: transformers 5's LlamaTokenizer builds its own normalizer in place of that of
    `tokenizer.json`, and drops the first of several leading spaces.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": processor.id_to_piece(processor.bos_id()),
        "eos_token": processor.id_to_piece(processor.eos_id()),
        "unk_token": processor.id_to_piece(processor.unk_id()),
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,  # whoever names LlamaTokenizer gets a space after BOS, as in Meta's code
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**9,
    }


def tokenizer_json(processor: SentencePieceProcessor) -> dict[str, Any]:
    """The tokenizer in the form of the `tokenizers` library."""
    pieces = [processor.id_to_piece(token) for token in range(processor.get_piece_size())]
    bos = processor.bos_id()
    specials = sorted({processor.unk_id(), bos, processor.eos_id()})
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token, "content": pieces[token], **added} for token in specials],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": pieces[bos], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": pieces[bos], "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": pieces[bos], "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {pieces[bos]: {"id": pieces[bos], "ids": [bos], "tokens": [pieces[bos]]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": pieces[processor.unk_id()],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: token for token, piece in enumerate(pieces)},
            "merges": merges(processor),
        },
    }


def merges(processor: SentencePieceProcessor) -> list[list[str]]:
    """Every pair of pieces whose union is a piece, in the order in which SentencePiece would merge them.

    SentencePiece merges the pair of the best score, and of equal scores the leftmost. `tokenizers` goes by the pair's place
    in this list. They agree where equal scores stand with the longer left side first: the released tokenizer gives all its
    runs of spaces one score, and there a run grows from the left.
    """
    scores = {
        processor.id_to_piece(token): processor.get_score(token)
        for token in range(processor.get_piece_size())
        if not (processor.is_control(token) or processor.is_unknown(token) or processor.is_byte(token))
    }
    pairs = [
        (-score, -cut, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [[left, right] for _, _, left, right in sorted(pairs)]
