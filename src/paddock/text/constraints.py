"""What system messages ask of every reply, and the rules that check whether a reply keeps it (paper section 3.3).

Ghost Attention learns constraints of `CONSTRAINT_KINDS`, and consistency is measured on them and on kinds that no training
shows (paper, Figure 28). Every kind but "other" has a rule; "other" is left to a judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from paddock.text.chat_format import tag_in
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
FORMS = ("one_sentence", "three_lines", "emoji")  # kinds that need no value
ALONE = ("language", *FORMS)
"""Kinds that are never drawn with another: they ask something of every word, or of the form of the whole. A hobby, a figure
and an end word are English words that a reply must say, and a reply in French may not: together they could not be kept."""
PROBES = {"figure": "What is your name?", "hobby": "What is your favorite hobby?"}  # Table 30's questions
LANGUAGE_CODES = {  # the names of `LanguageIdentifier`'s codes that constraints may use
    **{"Arabic": "ar", "Bengali": "bn", "Bulgarian": "bg", "Catalan": "ca", "Chinese": "zh", "Croatian": "hr"},
    **{"Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en", "Esperanto": "eo", "Estonian": "et"},
    **{"Finnish": "fi", "French": "fr", "German": "de", "Greek": "el", "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu"},
    **{"Icelandic": "is", "Indonesian": "id", "Italian": "it", "Japanese": "ja", "Korean": "ko", "Latin": "la"},
    **{"Latvian": "lv", "Lithuanian": "lt", "Norwegian": "no", "Persian": "fa", "Polish": "pl", "Portuguese": "pt"},
    **{"Romanian": "ro", "Russian": "ru", "Serbian": "sr", "Slovak": "sk", "Slovenian": "sl", "Spanish": "es"},
    **{"Swedish": "sv", "Tamil": "ta", "Thai": "th", "Turkish": "tr", "Ukrainian": "uk", "Urdu": "ur"},
    **{"Vietnamese": "vi", "Welsh": "cy"},
}

Speaks = Callable[[str, str], bool]
"""Whether a text (first) is in a language (second). Real languages and toy ones need different means."""

WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")
EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
PLAIN_LETTERS = str.maketrans("øłđı", "oldi")  # letters with a mark that Unicode does not take off them


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
        """Read what `to_row` wrote. Raises ValueError for an unknown kind, and for a value that no reply could keep."""
        known = (*CONSTRAINT_KINDS, *UNSEEN_KINDS)
        if row["kind"] not in known:
            raise ValueError(f'constraint "{row["kind"]}" is not one of {", ".join(known)}')
        value = row.get("value", "")
        if problem := problem_with_value(row["kind"], value):
            raise ValueError(f"{row['kind']}: {problem}")
        return Constraint(row["kind"], value)


def problem_with_value(kind: str, value: object) -> str | None:
    """Why no reply could keep a constraint of `kind` that asks for `value`, or None. Languages are known elsewhere."""
    if not isinstance(value, str):
        return f"a text was expected, found {value!r}"
    if tag := tag_in(value):
        return f'"{value}" contains {tag}, a tag of the chat format'
    if kind not in FORMS and not folded_words(value):
        return f'"{value}" holds no word that a reply could keep'
    return None


def instruction(rng: Random, constraints: Sequence[Constraint]) -> str:
    """The system message that asks for `constraints`: in full sentences or, half of the time, in the terse form."""
    form = rng.choice((0, 1))
    return " ".join(WORDINGS[constraint.kind][form].format(value=constraint.value) for constraint in constraints)


def draw_constraints(rng: Random, values: Mapping[str, Sequence[str]], most: int) -> tuple[Constraint, ...]:
    """From one to `most` constraints of different kinds, each kind and each value alike (paper 3.3: at random).

    `values` maps a kind to what it may ask for. Where a kind of `ALONE` meets others, it stays or they do, at random.
    """
    kinds = rng.sample(sorted(values), rng.randint(1, min(most, len(values))))
    first_alone = next((kind for kind in kinds if kind in ALONE), None)
    if first_alone:
        others = [kind for kind in kinds if kind not in ALONE]
        kinds = others if others and rng.random() < 0.5 else [first_alone]
    return tuple(Constraint.from_row({"kind": kind, "value": rng.choice(values[kind])}) for kind in kinds)


def words_of(text: str) -> list[str]:
    """The words and numbers of `text`, lower-cased, without punctuation."""
    return WORD.findall(text.lower())


def folded_words(text: str) -> list[str]:
    """The words of `text` as rules compare them: without case, accents, and other marks upon letters ("Napoléon" is
    "napoleon", "Ørsted" "orsted")."""
    apart = unicodedata.normalize("NFKD", text.replace("’", "'"))
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return words_of(bare.casefold().translate(PLAIN_LETTERS))


def has_rule(constraint: Constraint) -> bool:
    """Whether `keeps` can tell, and no judge is needed."""
    return constraint.kind != "other"


def keeps(constraint: Constraint, reply: str, speaks: Speaks) -> bool:
    """Whether `reply` keeps `constraint`, which has a rule.

    A figure and a hobby must be named as whole words, a possessive 's aside; an end word must be the last word, a begin word
    the first; accents and case are nothing to them. A language is left to `speaks`. A sentence ends with a mark before a
    space; a line is one that holds a word.
    """
    assert has_rule(constraint), "a constraint of another kind is left to a judge"
    found, wanted = folded_words(reply), folded_words(constraint.value)
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
            kept = _names(found, wanted)
    return kept


def _names(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the words `wanted` stand in `found`, one after the other; a possessive 's is no part of a name."""
    words, name = ([word.removesuffix("'s") for word in some] for some in (found, wanted))
    return bool(name) and any(words[at : at + len(name)] == name for at in range(len(words) - len(name) + 1))


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


def is_identified(language: str) -> bool:
    """Whether `speaks_by_identification` knows `language`, by its English name or its code."""
    return language.capitalize() in LANGUAGE_CODES or language in LANGUAGE_CODES.values()
