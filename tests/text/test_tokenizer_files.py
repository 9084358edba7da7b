"""What transformers makes of a saved tokenizer: the same ids, also for dialogs."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerBase

from paddock.text.chat_format import encode_dialog, encode_prompt
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import Tokenizer

Both = tuple[Tokenizer, PreTrainedTokenizerBase]


def in_transformers(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Their ids; `split_special_tokens` makes "<s>" written out plain text for them too."""
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def chat(dialog: Dialog) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in dialog.messages]


def test_ids_are_equal_on_hard_texts(in_both: Both, hard_texts: list[str]):
    ours, theirs = in_both
    assert in_transformers(theirs, hard_texts) == ours.encode_batch(hard_texts)


def test_ids_are_equal_on_runs_of_like_characters(in_both: Both):
    rng = random.Random(0)
    texts = ["".join(rng.choice(" \n\taeilz-=.ß日🎉▁1") * rng.randint(1, 9) for _ in range(9)) for _ in range(3000)]
    ours, theirs = in_both
    assert in_transformers(theirs, texts) == ours.encode_batch(texts)


def test_ids_are_equal_on_web_documents(in_both: Both, real_data: Path):
    with gzip.open(real_data / "llamafactory_demo" / "c4_demo.jsonl.gz") as file:
        texts = [json.loads(line)["text"] for line in file]
    ours, theirs = in_both
    assert in_transformers(theirs, texts) == ours.encode_batch(texts)


def test_ids_are_equal_to_transformers_own_reading_of_the_released_model(
    released_tokenizer: Tokenizer, real_data: Path, hard_texts: list[str], tmp_path: Path
):
    shutil.copy(real_data / "llama2c" / "tokenizer.model", tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert in_transformers(theirs, hard_texts) == released_tokenizer.encode_batch(hard_texts)


def test_the_class_for_llama_differs_only_where_a_text_begins_with_a_space(
    released_tokenizer: Tokenizer, hard_texts: list[str], tmp_path: Path
):
    released_tokenizer.save(tmp_path)
    theirs = LlamaTokenizer.from_pretrained(tmp_path)
    texts = [text for text in hard_texts if not text.startswith((" ", "▁"))]
    assert in_transformers(theirs, texts) == released_tokenizer.encode_batch(texts)
    dialog = Dialog((Message("user", " hi"), Message("assistant", "x  y "), Message("user", "z")))
    assert theirs.apply_chat_template(chat(dialog))["input_ids"] == encode_prompt(released_tokenizer, dialog)


def test_decoded_texts_are_equal(in_both: Both, hard_texts: list[str]):
    ours, theirs = in_both
    for ids in ours.encode_batch(hard_texts):
        assert theirs.decode(ids) == ours.decode(ids)


def test_bos_is_added_as_by_llama(in_both: Both):
    ours, theirs = in_both
    assert theirs("horse")["input_ids"] == ours.encode("horse", bos=True)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (ours.bos_id, ours.eos_id, None)


@pytest.mark.parametrize("system", [None, "Be brief.", "  two lines\nof system  "])
@pytest.mark.parametrize("turns", [1, 2, 3, 20])
def test_chat_template_gives_the_ids_of_dialogs_and_prompts(in_both: Both, turns: int, system: str | None):
    ours, theirs = in_both
    messages = [] if system is None else [Message("system", system)]
    for turn in range(turns):
        messages += [Message("user", f"  what   is {turn}?\n"), Message("assistant", f"\nIt is {turn} 🦙,  I think. ")]
    dialog, prompt = Dialog(tuple(messages)), Dialog(tuple(messages[:-1]))
    assert theirs.apply_chat_template(chat(dialog))["input_ids"] == list(encode_dialog(ours, dialog).ids)
    assert theirs.apply_chat_template(chat(prompt), add_generation_prompt=True)["input_ids"] == encode_prompt(ours, prompt)


@pytest.mark.parametrize("special", ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<unk>"])
def test_chat_template_refuses_what_a_string_cannot_tell_from_a_token(in_both: Both, special: str):
    with pytest.raises(TemplateError, match="message 3 contains"):
        in_both[1].apply_chat_template(
            chat(
                Dialog(tuple(Message(r, c) for r, c in (("user", "hi"), ("assistant", "hello"), ("user", f"a {special} b"))))
            )
        )


def test_chat_template_refuses_roles_out_of_order(in_both: Both):
    with pytest.raises(TemplateError, match="roles must go"):
        in_both[1].apply_chat_template([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])


def test_saving_by_transformers_keeps_ids(in_both: Both, hard_texts: list[str], tmp_path: Path):
    ours, theirs = in_both
    theirs.save_pretrained(tmp_path)
    again = type(theirs).from_pretrained(tmp_path)
    assert in_transformers(again, hard_texts) == ours.encode_batch(hard_texts)


def test_saving_needs_no_transformers(small_tokenizer: Tokenizer, tmp_path: Path):
    small_tokenizer.save(tmp_path / "from")
    script = (
        "import sys; from pathlib import Path; sys.modules['transformers'] = sys.modules['tokenizers'] = None\n"
        "from paddock.text.tokenizer import Tokenizer; Tokenizer.load(Path(sys.argv[1])).save(Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "from", tmp_path / "to"], check=True)
    names = ["chat_template.jinja", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
    assert sorted(file.name for file in (tmp_path / "to").iterdir()) == names
