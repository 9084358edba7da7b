"""Llama 2's chat format: a dialog as token ids, with a mask of the ids that bear loss.

The paper says only that a special token separates prompt and answer; the format is that of Meta's reference code:

    <s>[INST] <<SYS>>
    system
    <</SYS>>

    user [/INST] answer </s><s>[INST] user [/INST] answer </s>

`<s>` and `</s>` are ids, one BOS a user turn and one EOS an answer. The system message is folded into the first user
message; user messages and answers are stripped of white space at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from paddock.errors import DataError
from paddock.text.dialog import Dialog, Message, problem_with_order
from paddock.text.tokenizer import Tokenizer

BEGIN_INSTRUCTION, END_INSTRUCTION = "[INST]", "[/INST]"
BEGIN_SYSTEM, END_SYSTEM = "<<SYS>>", "<</SYS>>"
TAGS = (BEGIN_INSTRUCTION, END_INSTRUCTION, BEGIN_SYSTEM, END_SYSTEM)
TEXTS_A_BATCH = 256

# Table 31's prompt in our own words: helpful, respectful, honest, safe, unbiased, positive; explain a senseless question
# rather than answer it wrongly; do not invent.
DEFAULT_SYSTEM_PROMPT = (
    "You are an honest, considerate assistant, and you try to be of real use. Help as fully as you can while keeping "
    "everyone safe: nothing you write should cause harm, break the law, demean anyone or be sexually explicit. Be fair to "
    "people of every group, and kind in tone.\n\n"
    "Where a question makes no sense or rests on a mistake, say what is wrong with it instead of giving a wrong answer. "
    "Where you do not know, say so, and make nothing up."
)


class Encoded(NamedTuple):
    """Token ids, and for each whether it bears loss; None where all do (a document)."""

    ids: Sequence[int]
    loss_mask: Sequence[bool] | None = None


class ShownToken(NamedTuple):
    """One token as the model meets it: what `paddock tokenizer show` prints."""

    id: int
    piece: str
    bears_loss: bool


def tag_in(text: str) -> str | None:
    """The first of the four tags that `text` contains, or None."""
    return next((tag for tag in TAGS if tag in text), None)


def turns(dialog: Dialog) -> list[tuple[str, str | None]]:
    """The dialog as text: a pair `("[INST] user [/INST]", answer)` a user turn; an answer still to come is None.

    Raises DataError where roles are out of order or a message contains one of the tags, which no model could tell from ours.
    """
    problem = problem_with_order([message.role for message in dialog.messages])
    if problem is not None:
        raise DataError(_name_of(dialog), problem, mend="Roles must go (system) user assistant user assistant ...")
    for place, message in enumerate(dialog.messages, start=1):
        if tag := tag_in(message.content):
            raise DataError(
                _name_of(dialog), f"message {place} contains {tag}", mend="Remove the tag, or leave the dialog out"
            )
    messages = list(dialog.messages)
    if messages[0].role == "system":
        system, first = messages[0].content, messages[1].content
        messages[:2] = [Message("user", f"{BEGIN_SYSTEM}\n{system}\n{END_SYSTEM}\n\n{first}")]
    questions = [f"{BEGIN_INSTRUCTION} {message.content.strip()} {END_INSTRUCTION}" for message in messages[::2]]
    answers: list[str | None] = [message.content.strip() for message in messages[1::2]]
    return list(zip(questions, answers + [None] * (len(questions) - len(answers)), strict=True))


def dialog_text(dialog: Dialog) -> str:
    """The dialog as text without BOS and EOS, a line a turn: what a tokenizer is trained on."""
    return "\n".join(question if answer is None else f"{question} {answer} " for question, answer in turns(dialog))


def encode_dialog(tokenizer: Tokenizer, dialog: Dialog) -> Encoded:
    """Ids and loss mask, of equal length, of a dialog that ends with an answer. Answers and their EOS bear loss; where the
    dialog's `loss` is "last", those of the last answer alone.

    Raises DataError for a dialog that `turns` refuses or that ends with the user.
    """
    return next(encode_dialogs(tokenizer, [dialog]))


def encode_prompt(tokenizer: Tokenizer, dialog: Dialog) -> list[int]:
    """Ids of a dialog that ends with the user; the last is that of `[/INST]`'s end. A prefix of the finished dialog's ids.

    Raises DataError for a dialog that `turns` refuses or that ends with an answer.
    """
    if not dialog.is_prompt:
        raise DataError(_name_of(dialog), "ends with an answer", mend="A prompt ends with the user")
    *finished, (question, _) = turns(dialog)
    ids = [
        token
        for asked, answer in finished
        for token in (*tokenizer.encode(asked, bos=True), *tokenizer.encode(f"{answer} ", eos=True))
    ]
    return ids + tokenizer.encode(question, bos=True)


def encode_dialogs(tokenizer: Tokenizer, dialogs: Iterable[Dialog]) -> Iterator[Encoded]:
    """`encode_dialog` of each dialog, in order, streaming.

    Question and answer are encoded apart and joined. This equals encoding "[INST] user [/INST] answer " at once, as Meta's
    code does: no piece goes on past a space, and the space before the answer is the one that SentencePiece puts before
    every text.
    """
    stream = iter(dialogs)
    while chunk := list(islice(stream, TEXTS_A_BATCH)):
        pairs = [turns(dialog) for dialog in chunk]
        for dialog, dialog_turns in zip(chunk, pairs, strict=True):
            if dialog_turns[-1][1] is None:
                raise DataError(_name_of(dialog), "ends with the user", mend="A dialog to learn from ends with an answer")
        questions = iter(tokenizer.encode_batch([q for pair in pairs for q, _ in pair], bos=True))
        answers = iter(tokenizer.encode_batch([f"{a} " for pair in pairs for _, a in pair], eos=True))
        for dialog, pair in zip(chunk, pairs, strict=True):
            ids: list[int] = []
            loss_mask: list[bool] = []
            for turn, (question, answer) in enumerate(islice(zip(questions, answers, strict=False), len(pair)), start=1):
                ids += question + answer
                bears_loss = dialog.loss == "all" or turn == len(pair)
                loss_mask += [False] * len(question) + [bears_loss] * len(answer)
            yield Encoded(ids, loss_mask)


def encode_documents(tokenizer: Tokenizer, documents: Iterable[str]) -> Iterator[Encoded]:
    """BOS, the text's ids, EOS for each document, in order, streaming."""
    stream = iter(documents)
    while chunk := list(islice(stream, TEXTS_A_BATCH)):
        for ids in tokenizer.encode_batch(chunk, bos=True, eos=True):
            yield Encoded(ids)


def show_dialog(tokenizer: Tokenizer, dialog: Dialog) -> list[ShownToken]:
    """Every token of a finished dialog or of a prompt, with its piece and whether it bears loss."""
    if dialog.is_prompt:
        ids = encode_prompt(tokenizer, dialog)
        return [ShownToken(token, tokenizer.piece(token), False) for token in ids]
    encoded = encode_dialog(tokenizer, dialog)
    assert encoded.loss_mask is not None
    return [ShownToken(i, tokenizer.piece(i), bears) for i, bears in zip(encoded.ids, encoded.loss_mask, strict=True)]


def _name_of(dialog: Dialog) -> str:
    """Where a dialog was read, or its id."""
    return dialog.source or ("dialog" if dialog.id is None else f"dialog {dialog.id}")
