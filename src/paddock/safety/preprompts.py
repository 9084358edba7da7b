"""Preprompts that make a model answer more safely: generic ones, and answer templates by risk category (paper 4.2.4, A.4.2).

The paper shows four generic ones, made from adjectives, and templates of three categories; those that ship with Paddock are
its own, in `preprompts.yaml`, for the three categories of section 4.2.1.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Literal

from pydantic import Field

from paddock.errors import DataError
from paddock.settings import StageSettings, parse, read_yaml_file
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog, Message

BUILT_IN = Path(__file__).with_name("preprompts.yaml")
SLOT_OF_ADJECTIVE = "{}"

Kind = Literal["generic", "template"]
Slot = Literal["system", "head"]


class Preprompts(StageSettings):
    """A file of preprompts."""

    adjectives: tuple[str, ...] = Field((), description="words that each {} of a generic preprompt is drawn from")
    generic: tuple[str, ...] = Field(min_length=1, description="preprompts for any prompt")
    templates: dict[str, str] = Field(default_factory=dict, description="answer templates by risk category")

    def draw(self, kind: Kind, category: str | None, rng: Random) -> str | None:
        """A preprompt for a prompt of a risk category; None where `kind` is template and there is none for it."""
        return self.draw_generic(rng) if kind == "generic" else self.template_of(category)

    def draw_generic(self, rng: Random) -> str:
        """One of the generic preprompts, its adjectives drawn without repeating one."""
        first, *rest = rng.choice(self.generic).split(SLOT_OF_ADJECTIVE)
        return first + "".join(word + text for word, text in zip(rng.sample(self.adjectives, len(rest)), rest, strict=True))

    def template_of(self, category: str | None) -> str | None:
        """The template of a risk category: the one whose name it is, or begins with."""
        name = (category or "").lower()
        return next((text for key, text in self.templates.items() if name.startswith(key.lower())), None)


def read_preprompts(file: str | None) -> Preprompts:
    """The preprompts of a YAML file, or Paddock's own. Raises DataError for a file that is not there, SettingsError for
    one that is none, and DataError for a preprompt that asks for more adjectives than there are or holds a chat tag.
    """
    path = Path(file) if file else BUILT_IN
    content = read_yaml_file(path, "file of preprompts", mend="See docs/safety-tuning.md for its keys")
    preprompts = parse(Preprompts, content, str(path))
    for text in preprompts.generic:
        if text.count(SLOT_OF_ADJECTIVE) > len(preprompts.adjectives):
            raise DataError(path, f"too few adjectives for {text[:60]!r}", field="adjectives", mend="Add some")
    for text in (*preprompts.generic, *preprompts.templates.values()):
        if tag := tag_in(text):
            raise DataError(path, f"{text[:60]!r} holds {tag}, a tag of the chat format", mend="Remove the tag")
    return preprompts


def under(prompt: Dialog, preprompt: str, slot: Slot) -> Dialog:
    """`prompt` with a preprompt before its system message, or at the head of its last user message."""
    messages = list(prompt.messages)
    if slot == "head":
        messages[-1] = Message("user", f"{preprompt}\n\n{messages[-1].content}")
    elif messages[0].role == "system":
        messages[0] = Message("system", f"{preprompt}\n\n{messages[0].content}")
    else:
        messages.insert(0, Message("system", preprompt))
    return Dialog(tuple(messages), prompt.id, prompt.domain, prompt.risk_category)
