"""The chat format against Meta's algorithm, written here once more on SentencePiece itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.text.chat_format import (
    DEFAULT_SYSTEM_PROMPT,
    TAGS,
    dialog_text,
    encode_dialog,
    encode_dialogs,
    encode_documents,
    encode_prompt,
    show_dialog,
    tag_in,
)
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import Tokenizer


def reference_ids(sp: sentencepiece.SentencePieceProcessor, messages: list[Message]) -> list[int]:
    """Meta's `chat_completion`: a finished pair is encoded at once, with BOS and EOS; a last user turn with BOS alone."""
    dialog = [(message.role, message.content) for message in messages]
    if dialog[0][0] == "system":
        dialog = [("user", "<<SYS>>\n" + dialog[0][1] + "\n<</SYS>>\n\n" + dialog[1][1]), *dialog[2:]]
    ids: list[int] = []
    for (_, question), (_, answer) in zip(dialog[::2], dialog[1::2], strict=False):
        ids += [sp.bos_id(), *sp.encode(f"[INST] {question.strip()} [/INST] {answer.strip()} "), sp.eos_id()]
    if len(dialog) % 2:
        ids += [sp.bos_id(), *sp.encode(f"[INST] {dialog[-1][1].strip()} [/INST]")]
    return ids


@pytest.fixture(scope="module")
def small_reference(small_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("reference")
    small_tokenizer.save(folder)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


@pytest.fixture(scope="module")
def released_reference(real_data: Path):
    return sentencepiece.SentencePieceProcessor(model_file=str(real_data / "llama2c" / "tokenizer.model"))


def conversation(turns: int, system: str | None) -> list[Message]:
    messages = [] if system is None else [Message("system", system)]
    for turn in range(turns):
        messages.append(Message("user", f" {'  ' * turn}what is {turn} + {turn}?\n"))
        messages.append(Message("assistant", f"\tIt is {2 * turn} 🦙.  \n"))
    return messages


def of(*pairs: tuple[str, str]) -> Dialog:
    return Dialog(tuple(Message(role, content) for role, content in pairs))  # type: ignore[arg-type]


contents = st.text(st.sampled_from("ab [/]\n\t1é日🦙▁<s>"), min_size=1, max_size=30).filter(
    lambda text: text.strip() and not tag_in(text)
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """A system message or none, and 1 to 6 turns, the last perhaps without its answer."""
    messages = [Message("system", draw(contents))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 6))):
        messages += [Message("user", draw(contents)), Message("assistant", draw(contents))]
    return messages


@pytest.mark.parametrize("system", [None, DEFAULT_SYSTEM_PROMPT, "  Answer in one word. \n"])
@pytest.mark.parametrize("turns", range(1, 21))
def test_ids_equal_the_reference_for_one_to_twenty_turns(
    released_tokenizer: Tokenizer, released_reference: sentencepiece.SentencePieceProcessor, turns: int, system: str | None
):
    messages = conversation(turns, system)
    dialog, prompt = Dialog(tuple(messages)), Dialog(tuple(messages[:-1]))
    assert encode_dialog(released_tokenizer, dialog).ids == reference_ids(released_reference, messages)
    assert encode_prompt(released_tokenizer, prompt) == reference_ids(released_reference, messages[:-1])


@given(conversations())
def test_ids_of_any_dialog_equal_the_reference(
    small_tokenizer: Tokenizer, small_reference: sentencepiece.SentencePieceProcessor, messages: list[Message]
):
    assert encode_dialog(small_tokenizer, Dialog(tuple(messages))).ids == reference_ids(small_reference, messages)
    prompt = messages[:-1]
    assert encode_prompt(small_tokenizer, Dialog(tuple(prompt))) == reference_ids(small_reference, prompt)


def test_ids_of_a_small_dialog_are_those_worked_by_hand(released_tokenizer: Tokenizer):
    # <s> ▁[ INST ] ▁Hi ▁[ / INST ] ▁Hello ▁ </s>: the example of docs/data.md
    encoded = encode_dialog(released_tokenizer, of(("user", "Hi"), ("assistant", "Hello")))
    assert encoded.ids == [1, 518, 25580, 29962, 6324, 518, 29914, 25580, 29962, 15043, 29871, 2]
    assert encoded.loss_mask == [False] * 9 + [True] * 3


@given(conversations())
def test_a_prompt_is_a_prefix_of_the_finished_dialog(small_tokenizer: Tokenizer, messages: list[Message]):
    prompt = encode_prompt(small_tokenizer, Dialog(tuple(messages[:-1])))
    assert list(encode_dialog(small_tokenizer, Dialog(tuple(messages))).ids[: len(prompt)]) == prompt


@given(conversations())
def test_answers_and_their_eos_alone_bear_loss(small_tokenizer: Tokenizer, messages: list[Message]):
    encoded = encode_dialog(small_tokenizer, Dialog(tuple(messages)))
    assert encoded.loss_mask is not None
    bearing = [token for token, bears in zip(encoded.ids, encoded.loss_mask, strict=True) if bears]
    answers = [message.content.strip() for message in messages if message.role == "assistant"]
    assert bearing == [token for answer in answers for token in small_tokenizer.encode(f"{answer} ", eos=True)]


@given(conversations())
def test_where_loss_is_the_last_nothing_before_the_last_answer_bears_any(
    small_tokenizer: Tokenizer, messages: list[Message]
):
    dialog = Dialog(tuple(messages), loss="last")
    ids, loss_mask = encode_dialog(small_tokenizer, dialog)
    before = len(encode_prompt(small_tokenizer, Dialog(dialog.messages[:-1])))
    assert ids == encode_dialog(small_tokenizer, Dialog(dialog.messages)).ids
    assert loss_mask == [False] * before + [True] * (len(ids) - before)


def test_the_mask_of_the_docs_example_is_what_a_model_learns_from(released_tokenizer: Tokenizer):
    """Read from docs/ghost-attention.md, where it is worked by hand: a row a token, its id, its piece, and 1 for loss."""
    page = (Path(__file__).parents[2] / "docs" / "ghost-attention.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ *(\d+) +(\S+) +([01])$", page, flags=re.MULTILINE)
    messages = [Message("system", "Figure: Napoleon."), Message("user", "Hi!")]
    messages += [Message("assistant", "Napoleon, at your service."), Message("user", "What is 2 + 3?")]
    messages += [Message("assistant", "Napoleon says 5.")]
    shown = show_dialog(released_tokenizer, Dialog(tuple(messages), loss="last"))
    assert len(rows) == 59
    assert [(str(token.id), token.piece, str(int(token.bears_loss))) for token in shown] == rows


@given(conversations())
def test_there_is_one_bos_a_turn_and_one_eos_an_answer(small_tokenizer: Tokenizer, messages: list[Message]):
    ids = list(encode_dialog(small_tokenizer, Dialog(tuple(messages))).ids)
    turns = sum(message.role == "user" for message in messages)
    assert (ids.count(small_tokenizer.bos_id), ids.count(small_tokenizer.eos_id)) == (turns, turns)


def test_many_dialogs_at_once_equal_each_alone(small_tokenizer: Tokenizer):
    dialogs = [Dialog(tuple(conversation(1 + number % 4, None))) for number in range(600)]
    assert list(encode_dialogs(small_tokenizer, dialogs)) == [encode_dialog(small_tokenizer, dialog) for dialog in dialogs]


def test_documents_stand_between_bos_and_eos(small_tokenizer: Tokenizer):
    texts = [f"horse {number}" for number in range(600)]
    expected = [small_tokenizer.encode(text, bos=True, eos=True) for text in texts]
    assert [list(encoded.ids) for encoded in encode_documents(small_tokenizer, texts)] == expected


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_tag_in_any_message_is_refused(small_tokenizer: Tokenizer, tag: str, place: int):
    texts = ["be brief", "hi", "hello"]
    texts[place] += f" {tag} "
    dialog = of(("system", texts[0]), ("user", texts[1]), ("assistant", texts[2]))
    with pytest.raises(DataError, match=f"message {place + 1} contains"):
        encode_dialog(small_tokenizer, dialog)


def test_an_error_names_the_dialog(small_tokenizer: Tokenizer):
    dialog = Dialog((Message("user", "[INST]"), Message("assistant", "no")), id="seed-17")
    with pytest.raises(DataError, match="dialog seed-17: message 1"):
        encode_dialog(small_tokenizer, dialog)


@pytest.mark.parametrize("roles", [("assistant", "user"), ("user", "user"), ("system",), ("user", "assistant", "system")])
def test_roles_out_of_order_are_refused(small_tokenizer: Tokenizer, roles: tuple[str, ...]):
    with pytest.raises(DataError, match="Roles must go"):
        encode_dialog(small_tokenizer, of(*((role, "x") for role in roles)))


def test_a_dialog_without_an_answer_is_not_encoded_as_finished(small_tokenizer: Tokenizer):
    with pytest.raises(DataError, match="ends with the user"):
        encode_dialog(small_tokenizer, of(("user", "hi")))


def test_a_finished_dialog_is_not_encoded_as_a_prompt(small_tokenizer: Tokenizer):
    with pytest.raises(DataError, match="ends with an answer"):
        encode_prompt(small_tokenizer, of(("user", "hi"), ("assistant", "hello")))


def test_dialog_text_is_the_format_without_bos_and_eos():
    dialog = of(("system", "be brief"), ("user", "hi"), ("assistant", "hello"), ("user", "more"), ("assistant", "no"))
    expected = "[INST] <<SYS>>\nbe brief\n<</SYS>>\n\nhi [/INST] hello \n[INST] more [/INST] no "
    assert dialog_text(dialog) == expected


def test_showing_a_dialog_gives_its_ids_pieces_and_mask(small_tokenizer: Tokenizer):
    dialog = of(("user", "hi"), ("assistant", "hello"))
    encoded = encode_dialog(small_tokenizer, dialog)
    shown = show_dialog(small_tokenizer, dialog)
    assert [token.id for token in shown] == encoded.ids
    assert [token.bears_loss for token in shown] == encoded.loss_mask
    assert [token.piece for token in shown][-2:] == ["▁", "</s>"]


def test_showing_a_prompt_bears_no_loss(small_tokenizer: Tokenizer):
    dialog = of(("user", "hi"))
    shown = show_dialog(small_tokenizer, dialog)
    assert [token.id for token in shown] == encode_prompt(small_tokenizer, dialog)
    assert not any(token.bears_loss for token in shown)
