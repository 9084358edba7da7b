"""A file of ready replies as a chat model: a reply is looked up by its prompt.

    {"prompt": "Name a colour.", "reply": "Red."}
    {"messages": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Red."}]}

The prompt is text or messages; the reply may also be called answer (as in a stage's `samples.jsonl`), completion or output.
Further rows of one prompt are further replies to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paddock.errors import DataError, EmptyDataError, UnsupportedError
from paddock.protocols import Completion, Prompt, Sampling
from paddock.text.dialog import Dialog, Message
from paddock.text.files import Row, RowError, read_rows
from paddock.text.rows import DIALOG_KEYS, prompt_of

REPLY_KEYS = ("reply", "answer", "completion", "output")
SHOWN = 60  # characters of a prompt in an error

Key = tuple[Message, ...]


class ReadyReplies:
    """A `ChatModel` that knows the replies of a file, and no others. `path` names it in errors."""

    def __init__(self, replies: dict[Key, list[str]], path: str) -> None:
        self.replies, self.path = replies, path

    @staticmethod
    def read(path: Path | str) -> ReadyReplies:
        """Read a file. Raises DataError with the line of a row that is no prompt with its reply, or for an empty file."""
        replies: dict[Key, list[str]] = {}
        for line, row in read_rows(str(path)):
            try:
                if isinstance(row, RowError):
                    raise row
                prompt, reply = _prompt_and_reply(row)
            except RowError as error:
                raise DataError(path, error.problem, line=line, field=error.field, mend=error.mend) from None
            replies.setdefault(prompt.messages, []).append(reply)
        if not replies:
            raise EmptyDataError(path, "there is no reply")
        return ReadyReplies(replies, str(path))

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """The first `sampling.n` replies to each prompt; nothing else of `sampling` has a meaning here.

        Raises DataError that names the file and a prompt to which it holds too few.
        """
        return [[Completion(reply) for reply in self._found(prompt, sampling.n)] for prompt in prompts]

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Raises UnsupportedError: a file cannot tell."""
        raise UnsupportedError(f"{self.path}: a file of ready replies has no log-probabilities")

    def _found(self, prompt: Prompt, n: int) -> list[str]:
        messages = prompt.messages if isinstance(prompt, Dialog) else (Message("user", prompt),)
        found = self.replies.get(messages, [])
        if len(found) < n:
            held = f"{len(found)} replies of {n}" if found else "no reply"
            asked = messages[-1].content
            shown = asked if len(asked) <= SHOWN else asked[: SHOWN - 3] + "..."
            mend = "A prompt is found by all its messages, the system message included, to the last character"
            raise DataError(self.path, f"there is {held} to the prompt {shown!r}", mend=mend)
        return found[:n]


def _prompt_and_reply(row: Row) -> tuple[Dialog, str]:
    """What a row holds. A reply may be empty, or hold a tag of the chat format: models write such. Raises RowError."""
    key = next((key for key in REPLY_KEYS if key in row), None)
    if key is not None:
        rest = {name: value for name, value in row.items() if name != key}
        if rest.keys().isdisjoint(DIALOG_KEYS):
            raise RowError("no prompt", "there is a reply, and no prompt that it answers", field="prompt")
        return prompt_of(rest), _text(row[key], key)
    messages = row.get("messages")
    if not isinstance(messages, list) or len(messages) < 2 or not isinstance(messages[-1], dict):
        raise RowError("no reply", f"it holds none of {', '.join(REPLY_KEYS)}, and no messages that end with a reply")
    if messages[-1].get("role") != "assistant":
        raise RowError("no reply", "its messages do not end with the assistant's", field="messages")
    return prompt_of({**row, "messages": messages[:-1]}), _text(messages[-1].get("content"), "messages")


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise RowError("wrong type", "a reply is text", field=field)
    return value
