"""`paddock chat`: talk to a model in the terminal, or through a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pydantic import Field
from rich.console import Console

from paddock.cli.model import ModelFolder
from paddock.cli.options import AsJson, Seed, Set
from paddock.errors import PaddockError
from paddock.protocols import Sampling
from paddock.settings import StageSettings, assign, parse
from paddock.text.chat_format import DEFAULT_SYSTEM_PROMPT
from paddock.text.dialog import Dialog, Message

if TYPE_CHECKING:
    from paddock.model.generation import LocalChatModel

HELP = "/new: a new dialog · /system TEXT: under a system message · /default: Paddock's own · /again: another answer · /quit"


class ChatSettings(StageSettings):
    """How replies are drawn."""

    system: str | None = Field(None, description='a system message; "default" for Paddock\'s own')
    temperature: float = Field(0.7, ge=0, description="0 is greedy")
    top_p: float = Field(0.9, gt=0, le=1, description="share of the probability that is kept")
    top_k: int = Field(0, ge=0, description="tokens that are kept; 0: all")
    max_new_tokens: int = Field(512, ge=1, description="tokens of a reply at most")
    seed: int = Field(0, ge=0, description="of the sampling; each reply of a dialog has its own")


@dataclass
class Conversation:
    """A dialog as it grows."""

    model: LocalChatModel
    settings: ChatSettings
    messages: list[Message]

    def begin(self, system: str | None) -> None:
        """Start afresh, under a system message or none."""
        text = DEFAULT_SYSTEM_PROMPT if system == "default" else system
        self.messages = [Message("system", text)] if text else []

    def reply(self) -> Iterator[str]:
        """The answer to the last message, in pieces as it comes; it joins the dialog when it is whole."""
        s = self.settings
        sampling = Sampling(
            temperature=s.temperature,
            top_p=s.top_p,
            top_k=s.top_k,
            max_new_tokens=s.max_new_tokens,
            seed=s.seed + len(self.messages),
        )
        text = ""
        for piece in self.model.stream(Dialog(tuple(self.messages)), sampling):
            text += piece
            yield piece
        self.messages.append(Message("assistant", text.strip()))


def chat(model: ModelFolder, seed: Seed = None, set_: Set = None, as_json: AsJson = False) -> None:
    """Talk to a model: at a prompt, or a line of standard input a turn. Sampling is set with --set, as in temperature=0."""
    options = {} if seed is None else {"seed": seed}
    settings = parse(ChatSettings, assign(options, set_ or []), "paddock chat")
    from paddock.backends.local import open_local_model

    conversation = Conversation(open_local_model(model), settings, [])
    conversation.begin(settings.system)
    if sys.stdin.isatty() and not as_json:
        talk(conversation)
    else:
        answer_lines(conversation, as_json)


def answer_lines(conversation: Conversation, as_json: bool) -> None:
    """Answer each line of standard input as the user's next turn; with JSON, the whole dialog at the end."""
    for line in filter(None, map(str.strip, sys.stdin)):
        conversation.messages.append(Message("user", line))
        text = "".join(conversation.reply())
        if not as_json:
            print(text, flush=True)
    if as_json:
        print(json.dumps({"messages": [asdict(message) for message in conversation.messages]}, ensure_ascii=False))


def talk(conversation: Conversation) -> None:
    """A dialog at the terminal, until /quit or the end of input."""
    console = Console(highlight=False)
    console.print(HELP, style="dim")
    while (line := _ask(console)) is not None:
        if line == "/quit":
            return
        if obey(conversation, line):
            continue
        if line != "/again":
            conversation.messages.append(Message("user", line))
        _answer(console, conversation)


def obey(conversation: Conversation, line: str) -> bool:
    """Carry out a command that needs no answer; return whether the line was one."""
    word, _, rest = line.partition(" ")
    if word == "/new":
        conversation.begin(conversation.settings.system)
    elif word == "/system":
        conversation.begin(rest.strip() or None)
    elif word == "/default":
        conversation.begin("default")
    elif line == "/again" and len(conversation.messages) > 1 and conversation.messages[-1].role == "assistant":
        conversation.messages.pop()
        conversation.settings = conversation.settings.model_copy(update={"seed": conversation.settings.seed + 1000})
        return False
    else:
        return not line or line == "/again"
    return True


def _ask(console: Console) -> str | None:
    try:
        return console.input("[bold]you>[/bold] ").strip()
    except EOFError:
        return None


def _answer(console: Console, conversation: Conversation) -> None:
    """Print the reply as it comes. A turn that cannot be answered is taken back, and the dialog goes on."""
    try:
        console.print("model> ", style="bold green", end="")
        for piece in conversation.reply():
            console.out(piece, end="")
        console.print()
    except PaddockError as error:
        conversation.messages.pop()
        console.print(f"\n{error}. /new starts a new dialog", style="red")
