"""What a judge is asked, and what it answered: a rubric with places for a prompt and two replies, and a verdict in its text.

The paper prints no prompt for its GPT-4 judge (section 3.4.2); the rubrics that ship with Paddock are its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

from paddock.errors import DataError
from paddock.text.dialog import Dialog, Domain, Message

Verdict = Literal["A", "B", "tie"]

NEEDED = ("prompt", "reply_a", "reply_b")
PLACE = re.compile(r"\{(prompt|reply_a|reply_b|mark)\}")
ASKS = "Verdict:"
# "Verdict: A", "**Verdict:** Reply B", "verdict: [[A]]", "Verdict: a tie". A small a or b is a word, and no verdict; nor is
# one letter of "A or B" or "A | B | tie".
VERDICT = re.compile(
    r"(?i:verdict)\W{0,3}:\W{0,6}(?:(?i:reply|response|assistant)\s+)?"
    r"(?:(?i:(?:a\s+)?tie)|(A|B)(?!\s*(?:and|or|[,/|&=])\s*(?:(?i:reply|response|assistant)\s+)?[AB]\b))\b"
)


def built_in(domain: Domain) -> str:
    """The rubric that ships with Paddock for prompts of a domain."""
    return resources.files("paddock.evaluate").joinpath("rubrics", f"{domain}.txt").read_text(encoding="utf-8")


def read_rubric(path: Path | str) -> str:
    """A rubric from a file. Raises DataError where it cannot be read, lacks a place, or asks for no verdict."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})") from None
    found = {place[1] for place in PLACE.finditer(text)}
    if lacking := [f"{{{name}}}" for name in NEEDED if name not in found]:
        raise DataError(path, f"the rubric has no place {', '.join(lacking)}", mend="Write each where its text is to stand")
    if ASKS not in text:
        mend = 'Ask for a last line that is "Verdict: A", "Verdict: B" or "Verdict: tie"'
        raise DataError(path, "the rubric asks for no verdict that could be read", mend=mend)
    return text


def ask(rubric: str, prompt: Dialog, reply_a: str, reply_b: str) -> Dialog:
    """The rubric with its places filled, as a dialog for a judge.

    `{mark}` is a word that none of the texts can know, so that a reply cannot pretend to end where it does not; places
    within the texts stay as they are.
    """
    texts = {"prompt": shown(prompt), "reply_a": reply_a, "reply_b": reply_b}
    texts["mark"] = f"=={_mark(texts)}=="
    return Dialog((Message("user", PLACE.sub(lambda place: texts[place[1]], rubric)),))


def shown(prompt: Dialog) -> str:
    """A prompt as a judge reads it: one message as it is, more of them with their speakers."""
    if len(prompt.messages) == 1:
        return prompt.messages[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in prompt.messages)


def read_verdict(text: str) -> Verdict | None:
    """The last verdict in what a judge wrote; None where there is none."""
    said = [found[1] for found in VERDICT.finditer(text)]
    if not said:
        return None
    return "A" if said[-1] == "A" else "B" if said[-1] == "B" else "tie"


def _mark(texts: Mapping[str, str]) -> str:
    return hashlib.blake2b("\0".join(texts.values()).encode(errors="surrogatepass"), digest_size=4).hexdigest()
