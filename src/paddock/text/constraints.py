"""What system messages ask of every reply, and the rules that check whether a reply keeps it (paper section 3.3).

Ghost Attention learns constraints of `CONSTRAINT_KINDS`, and consistency is measured on them and on kinds that no training
shows (paper, Figure 28). Every kind but "other" has a rule; "other" is left to a judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from paddock.text.language_id import LanguageIdentifier

ConstraintKind = Literal["figure", "hobby", "language", "end_word"]
UnseenKind = Literal["begin_word", "one_sentence", "three_lines", "emoji", "other"]
CONSTRAINT_KINDS: tuple[ConstraintKind, ...] = get_args(ConstraintKind)
UNSEEN_KINDS: tuple[UnseenKind, ...] = get_args(UnseenKind)

WORDINGS = {  # kind -> the full form, and the terse form that half of the messages have (paper section 3.3)
    "figure": ("Always act as {value}.", "Figure: {value}."),
    "hobby": ("You enjoy {value}. Always say so.", "Hobby: {value}."),
    "language": ("Always speak {value}.", "Language: {value}."),
    "end_word": ("Always end with the word {value}.", "End word: {value}."),
    "begin_word": ("Always begin with the word {value}.", "First word: {value}."),
    "one_sentence": ("Always answer in one sentence only.", "Length: one sentence."),
    "three_lines": ("Always answer with a haiku of three lines.", "Form: haiku, three lines."),
    "emoji": ("Always answer with emojis.", "Style: emojis."),
    "other": ("{value}", "{value}"),
}
PROBES = {"figure": "What is your name?", "hobby": "What is your favorite hobby?"}  # Table 30's questions
LANGUAGE_CODES = {  # the names of `LanguageIdentifier`'s codes that constraints use
    **{"Arabic": "ar", "Chinese": "zh", "Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en", "Finnish": "fi"},
    **{"French": "fr", "German": "de", "Greek": "el", "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu", "Italian": "it"},
    **{"Indonesian": "id", "Japanese": "ja", "Korean": "ko", "Norwegian": "no", "Persian": "fa", "Polish": "pl"},
    **{"Portuguese": "pt", "Romanian": "ro", "Russian": "ru", "Spanish": "es", "Swedish": "sv", "Thai": "th"},
    **{"Turkish": "tr", "Ukrainian": "uk", "Vietnamese": "vi"},
}

Speaks = Callable[[str, str], bool]
"""Whether a text (first) is in a language (second). Real languages and toy ones need different means."""

WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")
EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a system message asks of every reply.

    `kind` "figure": speak as `value`; "hobby": mention `value`; "language": speak `value`; "end_word", "begin_word": end or
    begin with `value`; "one_sentence", "three_lines", "emoji": have that form; "other": whatever `value` says.
    """

    kind: ConstraintKind | UnseenKind
    value: str = ""

    def to_row(self) -> dict[str, str]:
        """The constraint as JSON has it."""
        return {"kind": self.kind, "value": self.value}

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Constraint:
        """Read what `to_row` wrote. Raises ValueError for an unknown kind."""
        known = (*CONSTRAINT_KINDS, *UNSEEN_KINDS)
        if row["kind"] not in known:
            raise ValueError(f'constraint "{row["kind"]}" is not one of {", ".join(known)}')
        return Constraint(row["kind"], row.get("value", ""))


def instruction(rng: Random, constraints: Sequence[Constraint]) -> str:
    """The system message that asks for `constraints`: in full sentences or, half of the time, in the terse form."""
    form = rng.choice((0, 1))
    return " ".join(WORDINGS[constraint.kind][form].format(value=constraint.value) for constraint in constraints)


def draw_constraints(rng: Random, values: Mapping[str, Sequence[str]], most: int) -> tuple[Constraint, ...]:
    """From one to `most` constraints of different kinds, each kind and each value alike (paper 3.3: at random).

    `values` maps a kind to what it may ask for. An end word in another language would be no word of it: a language and an
    end word are never asked for together.
    """
    kinds = rng.sample(sorted(values), rng.randint(1, min(most, len(values))))
    if "language" in kinds and "end_word" in kinds:
        kinds.remove("end_word")
    return tuple(Constraint.from_row({"kind": kind, "value": rng.choice(values[kind])}) for kind in kinds)


def words_of(text: str) -> list[str]:
    """The words and numbers of `text`, lower-cased, without punctuation."""
    return WORD.findall(text.lower())


def has_rule(constraint: Constraint) -> bool:
    """Whether `keeps` can tell, and no judge is needed."""
    return constraint.kind != "other"


def keeps(constraint: Constraint, reply: str, speaks: Speaks) -> bool:
    """Whether `reply` keeps `constraint`, which has a rule.

    A figure and a hobby must be named as whole words; an end word must be the last word, a begin word the first; a language
    is left to `speaks`. A sentence ends with a mark before a space; a line is one that holds a word.
    """
    assert has_rule(constraint), "a constraint of another kind is left to a judge"
    found, wanted = words_of(reply), words_of(constraint.value)
    match constraint.kind:
        case "language":
            kept = speaks(reply, constraint.value)
        case "end_word":
            kept = bool(wanted) and found[-len(wanted) :] == wanted
        case "begin_word":
            kept = bool(wanted) and found[: len(wanted)] == wanted
        case "one_sentence":
            kept = len([part for part in SENTENCE_END.split(reply) if words_of(part)]) == 1
        case "three_lines":
            kept = len([line for line in reply.splitlines() if words_of(line)]) == 3
        case "emoji":
            kept = EMOJI.search(reply) is not None
        case _:
            places = range(len(found) - len(wanted) + 1)
            kept = bool(wanted) and any(found[at : at + len(wanted)] == wanted for at in places)
    return kept


def speaks_by_vocabulary(vocabularies: Mapping[str, Collection[str]], neutral: Collection[str] = ()) -> Speaks:
    """A rule for toy languages: a text speaks one where at least 80% of its words belong to the language's vocabulary.

    Numbers and the `neutral` words (names) belong to every language and are not counted, but one word of the language's own
    must be there.
    """
    neutral_words = {word.lower() for word in neutral}

    def speaks(text: str, language: str) -> bool:
        vocabulary = vocabularies.get(language, ())
        telling = [word for word in words_of(text) if not word.isdigit() and word not in neutral_words]
        own = sum(word in vocabulary for word in telling)
        return own > 0 and own >= 0.8 * len(telling)

    return speaks


def speaks_by_identification(identifier: LanguageIdentifier) -> Speaks:
    """A rule for real languages, by their English names or codes ("French", "fr"): the likeliest one, unless unknown.

    A reply of a few words may be unknown in any language, and then counts as not in it.
    """
    return lambda text, language: identifier.identify(text)[0] == LANGUAGE_CODES.get(language.capitalize(), language)
