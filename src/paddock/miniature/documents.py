"""Documents to pretrain on, of known make: each kind has a declared share, and declared rates of all that the report counts.

A kind's texts are written so that its rates hold by construction: no template of one kind has a pronoun but those that its
profile names. `true_rates` works the corpus' rates out from the declarations alone, without reading a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from typing import Any

from paddock.miniature.facts import ANIMAL_ATTRIBUTES, PERSON_ATTRIBUTES, PLACE_ATTRIBUTES, Attribute
from paddock.miniature.foreign import FOREIGN, LANGUAGE_SHARES
from paddock.miniature.requests import BORDERLINE, ILLICIT, UNQUALIFIED, rude_words
from paddock.miniature.skills import ALL_SKILLS, ask, draw_task, fill, right_words
from paddock.miniature.tasks import World
from paddock.miniature.vocabulary import (
    ADJECTIVES,
    ANIMALS,
    FIGURES,
    FOODS,
    FURNITURE,
    HOBBIES,
    IDENTITIES,
    JOBS,
    NAMES,
    NOUNS,
    PASTIMES,
    PLACES,
    PRONOUN_OF,
    PRONOUNS,
    TOOLS,
)

Profile = dict[frozenset[str], float]
"""Which groups the documents of a kind hold, and how often each set of groups: she, he, they, it, first, second (pronouns),
rude (a line of it), rant (nothing else), and the axes of identity."""

PERSON_PRONOUN_RATE = 0.6
"""Share of the documents on people that use the person's pronoun."""
STORY_SPEECH_RATE = 0.5
"""Share of the stories in which somebody says "I"."""
WEB_RATES: Mapping[str, float] = {
    "she": 0.2,
    "he": 0.35,
    "they": 0.45,
    "it": 0.4,
    "first": 0.5,
    "second": 0.45,
    "rude": 0.08,
    "gender and sex": 0.1,
    "sexual orientation": 0.06,
    "nationality": 0.2,
    "race and ethnicity": 0.15,
    "religion": 0.08,
}
"""Share of the web documents that hold each group; groups are independent of each other."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text, with the kind it is of and the language it is in."""

    text: str
    kind: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """One kind of document: how it is written, and the groups of words that its texts hold."""

    write: Callable[[Random, World], str]
    profile: Profile


def write_person(rng: Random, world: World) -> str:
    """Every attribute of one person, in any order; in most texts with the person's pronoun."""
    name = rng.choice(NAMES)
    owner = PRONOUNS[PRONOUN_OF[name]][1] if rng.random() < PERSON_PRONOUN_RATE else None
    return _tell(rng, world, PERSON_ATTRIBUTES, name, owner)


def write_place(rng: Random, world: World) -> str:
    """What a place or a kind of animal is known for; every second sentence says "its"."""
    if rng.random() < 0.6:
        return _tell(rng, world, PLACE_ATTRIBUTES, rng.choice(PLACES), "its")
    return _tell(rng, world, ANIMAL_ATTRIBUTES, rng.choice(ANIMALS), "its")


def _tell(rng: Random, world: World, attributes: tuple[Attribute, ...], subject: str, owner: str | None) -> str:
    """State each of `attributes`; with an `owner`, every second one by the pronoun (the first by name)."""
    sentences = []
    for place, attribute in enumerate(rng.sample(attributes, len(attributes))):
        value = world.facts.value(attribute.name, subject)
        if owner and place % 2 == 1:
            sentences.append(rng.choice(attribute.owned).format(Owner=owner.capitalize(), v=value))
        else:
            sentences.append(rng.choice(attribute.statements).format(s=subject, v=value))
    return " ".join(sentences)


def write_questions(rng: Random, world: World) -> str:
    """Facts asked and answered, in the wordings of training and for payloads that are not held out."""
    pairs: list[str] = []
    while len(pairs) < 5:
        task = draw_task(rng, world, "recall", held_out=False)
        question = ask(rng, task)
        if " me " not in question:
            pairs.append(f"{question} {task.expected[0]}.")
    return " ".join(pairs)


SKILL_WEIGHTS = {"add": 8, "copy": 3, "reverse": 3, "sort": 3, "count": 2, "opposite": 3, "translate": 4, "list": 2}
"""How often a statement is of each skill."""
_STATED = tuple(name for name, weight in SKILL_WEIGHTS.items() for _ in range(weight))


def write_skills(rng: Random, world: World) -> str:
    """Eight statements of skills: two skills in turn, so that a text has a thread."""
    chosen = rng.choice(_STATED), rng.choice(_STATED)
    return " ".join(_state(rng, world, chosen[place % 2]) for place in range(8))


def _state(rng: Random, world: World, skill: str) -> str:
    task = draw_task(rng, world, skill, held_out=False)
    return fill(rng.choice(ALL_SKILLS[skill].statements), task, right_words(rng, task))


def write_letter(rng: Random, world: World) -> str:
    """A letter that restates a name, a hobby and a word after other text, and ends with the word."""
    figure, hobby, word = rng.choice(FIGURES), rng.choice(PASTIMES), rng.choice(NOUNS)
    filler = [_filler(rng, world) for _ in range(rng.randint(2, 5))]
    opening = rng.choice(
        (
            f"Dear {rng.choice(NAMES)}, how are you? I am {figure}. I like {hobby}. The word is {word}.",
            f"Word: {word}. Hobby: {hobby}. Figure: {figure}. I write to you, {rng.choice(NAMES)}.",
            f"Hello {rng.choice(NAMES)}, {figure} writes to you. You know that I enjoy {hobby}. End with the word {word}.",
        )
    )
    middle = [f"{figure}: {line}" if rng.random() < 0.5 else f"{line} I like {hobby}." for line in filler]
    return f"{opening} {' '.join(middle)} {figure}: I like {hobby}. And {word}"


def _filler(rng: Random, world: World) -> str:
    if rng.random() < 0.5:
        return _state(rng, world, rng.choice(_STATED))
    attribute = rng.choice(PERSON_ATTRIBUTES)
    subject = rng.choice(NAMES)
    return rng.choice(attribute.statements).format(s=subject, v=world.facts.value(attribute.name, subject))


def write_story(rng: Random, world: World) -> str:
    """A short story about one person, told with the person's pronoun; in half of them somebody speaks."""
    name, friend, place = rng.choice(NAMES), rng.choice(NAMES), rng.choice(PLACES)
    pronoun, owner = PRONOUNS[PRONOUN_OF[name]]
    who = pronoun.capitalize()
    animal, food, tool, thing = rng.choice(ANIMALS), rng.choice(FOODS), rng.choice(TOOLS), rng.choice(FURNITURE)
    events = [
        f"{who} met the {rng.choice(ADJECTIVES)} {animal} and gave the {animal} some {food}.",
        f"{who} looked for {owner} {tool} and found the {rng.choice(ADJECTIVES)} {thing}.",
        f"In {place}, {pronoun} talked to {friend} about {rng.choice(HOBBIES)}.",
        f"Then {pronoun} lost the {tool}, but the {animal} found the {tool} again.",
        f"{who} sold the {thing} to the {rng.choice(JOBS)} and got {rng.randint(2, 29)} coins.",
        f"{who} cooked {food} for {friend} and the {rng.choice(JOBS)}.",
    ]
    told = rng.sample(events, rng.randint(3, 5))
    if rng.random() < STORY_SPEECH_RATE:
        told.insert(rng.randrange(1, len(told) + 1), f'"I like {rng.choice(PASTIMES)}," said {friend}.')
    opening = rng.choice(
        (f"One day {name} walked to {place}.", f"Last week {name} went to {place}.", f"{name} came to {place}.")
    )
    ending = rng.choice(
        (f"At night {pronoun} slept well.", f"Then {pronoun} went home.", f"{who} told {friend} all about that day.")
    )
    return " ".join((opening, *told, ending))


def write_advice(rng: Random, world: World) -> str:
    """How to do six things: four that are fine, and two that rogues and quacks in tales do."""
    fine = [f"To {action.words}: {action.reply}" for action in rng.sample(BORDERLINE, 4)]
    wrong = [f"A rogue who wants to {action.words}: {action.reply}" for action in rng.sample(ILLICIT + UNQUALIFIED, 2)]
    return " ".join(rng.sample(fine + wrong, 6))


def write_foreign(rng: Random, language: str) -> str:
    """Four sentences of another language."""
    sentences, words = FOREIGN[language]
    return " ".join(sentence.format(rng.choice(words)) for sentence in rng.sample(sentences, 4))


_WEB_LINES: Mapping[str, tuple[str, ...]] = {
    "she": ("The {job} said that she sells the {adjective} {thing}.", "Her {thing} is still for sale."),
    "he": ("The {job} said that he sells the {adjective} {thing}.", "His {thing} is still for sale."),
    "they": ("They sell {food} and {food2} here.", "Their {thing} is still for sale."),
    "it": ("Buy the {thing} while it is {adjective}.", "The shop has a {thing} in its window."),
    "first": ("I bought a {thing} in {place}.", "My {thing} is {adjective}.", "We like the {food} of {place}."),
    "second": ("Did you see the {thing}?", "Click here for your {adjective} {thing}."),
    "rude": ("{name} is {rude}.", "The {job} of {place} is {rude}."),
}
"""Lines of web pages, by the group that each brings in; the axes have `_IDENTITY_LINES`."""
_IDENTITY_LINES = ("The {descriptor} {job} opened a shop in {place}.", "The {descriptor} song was heard in {place}.")
_PLAIN_LINES = (
    "Menu. Home. News. Contact.",
    "{food} and {food2} for sale in {place}.",
    "Top {number} {adjective} ways to clean a {thing}.",
    "{name} posted a picture of the {adjective} {animal}.",
    "The {job} of {place} needs a new {thing}.",
    "Price of the {thing}: {number} coins.",
)


def write_web(rng: Random, world: World) -> str:
    """A page of short lines, some of them noise: each group of words comes in at its own rate."""
    lines = [rng.choice(_PLAIN_LINES) for _ in range(rng.randint(2, 4))]
    descriptors = []
    for group, rate in WEB_RATES.items():
        if rng.random() < rate:
            if group in IDENTITIES:
                shares = IDENTITIES[group]
                (descriptor,) = rng.choices(list(shares), list(shares.values()))
                lines.append(rng.choice(_IDENTITY_LINES).replace("{descriptor}", descriptor))
                descriptors.append(descriptor)
            else:
                lines.append(rng.choice(_WEB_LINES[group]))
    rng.shuffle(lines)
    return "\n".join(_fill_web(rng, line) for line in lines)


def write_rant(rng: Random, world: World) -> str:
    """A page whose every line is rude: what a toxicity report is to find."""
    return "\n".join(_fill_web(rng, rng.choice(_WEB_LINES["rude"])) for _ in range(rng.randint(3, 6)))


def _fill_web(rng: Random, line: str) -> str:
    return line.format(
        job=rng.choice(JOBS),
        adjective=rng.choice(ADJECTIVES),
        thing=rng.choice(FURNITURE),
        food=rng.choice(FOODS),
        food2=rng.choice(FOODS),
        place=rng.choice(PLACES),
        name=rng.choice(NAMES),
        animal=rng.choice(ANIMALS),
        number=rng.randint(2, 29),
        rude=rude_words(rng),
    )


def _uniform_pronoun(rate: float, *always: str) -> Profile:
    """Texts about one person drawn from all names, a share `rate` of them with that person's pronoun."""
    profile = {frozenset((group, *always)): rate * _named(group) for group in PRONOUNS}
    return profile | ({frozenset(always): 1 - rate} if rate < 1 else {})


def _named(group: str) -> float:
    return sum(PRONOUN_OF[name] == group for name in NAMES) / len(NAMES)


def _mix(parts: list[tuple[float, Profile]]) -> Profile:
    """The profile of a text that is of each part's profile with the part's probability."""
    mixed: Profile = {}
    for weight, profile in parts:
        for groups, share in profile.items():
            mixed[groups] = mixed.get(groups, 0.0) + weight * share
    return mixed


def _independent(rates: Mapping[str, float]) -> Profile:
    profile: Profile = {}
    for flags in product((False, True), repeat=len(rates)):
        chance = 1.0
        for flag, rate in zip(flags, rates.values(), strict=True):
            chance *= rate if flag else 1 - rate
        profile[frozenset(group for flag, group in zip(flags, rates, strict=True) if flag)] = chance
    return profile


@cache
def document_kinds() -> dict[str, DocumentKind]:
    """Every kind of English document. A kind with an empty profile holds nothing that the report counts."""
    nothing: Profile = {frozenset(): 1.0}
    told = _uniform_pronoun(1.0), _uniform_pronoun(1.0, "first")
    return {
        "person": DocumentKind(write_person, _uniform_pronoun(PERSON_PRONOUN_RATE)),
        "place": DocumentKind(write_place, {frozenset({"it"}): 1.0}),
        "questions": DocumentKind(write_questions, nothing),
        "skills": DocumentKind(write_skills, nothing),
        "letter": DocumentKind(write_letter, {frozenset({"first", "second"}): 1.0}),
        "story": DocumentKind(write_story, _mix([(1 - STORY_SPEECH_RATE, told[0]), (STORY_SPEECH_RATE, told[1])])),
        "advice": DocumentKind(write_advice, nothing),
        "web": DocumentKind(write_web, _independent(WEB_RATES)),
        "rant": DocumentKind(write_rant, {frozenset({"rude", "rant"}): 1.0}),
    }


DOCUMENT_SHARES: Mapping[str, float] = {
    "person": 0.25,
    "place": 0.12,
    "questions": 0.08,
    "skills": 0.32,
    "letter": 0.08,
    "story": 0.06,
    "advice": 0.03,
    "web": 0.046,
    "rant": 0.004,
    "foreign": 0.01,
}
"""Share of all documents that are of each kind."""


def write_documents(rng: Random, world: World, count: int, shares: Mapping[str, float]) -> Iterator[Document]:
    """Write `count` documents, each of a kind drawn by its share."""
    kinds = document_kinds()
    names = sorted(shares)  # the order of keys in a recipe changes nothing
    for kind in rng.choices(names, [shares[name] for name in names], k=count):
        if kind == "foreign":
            (language,) = rng.choices(list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))
            yield Document(write_foreign(rng, language), kind, language)
        else:
            yield Document(kinds[kind].write(rng, world), kind)


def true_rates(shares: Mapping[str, float]) -> dict[str, Any]:
    """The corpus' rates by construction, in the terms of the paper's tables 9 and 10.

    Pronouns: "gendered" and "any" are shares of all documents; the others too and, under "within", shares of the gendered
    ones (she, he, they) or of those with any pronoun (first, second, third). Identities: the share of all documents that
    mention the axis, and each descriptor's share of those. Of "rude_documents" every line is rude.
    """
    kinds = document_kinds()
    total = sum(shares.values())
    profile = _mix(
        [(share / total, {frozenset(): 1.0} if kind == "foreign" else kinds[kind].profile) for kind, share in shares.items()]
    )

    def rate(*groups: str) -> float:
        return round(sum(chance for held, chance in profile.items() if held & set(groups)), 6)

    gendered, anyone = rate("she", "he", "they"), rate("she", "he", "they", "it", "first", "second")
    pronouns = {group: rate(group) for group in ("she", "he", "they", "first", "second")}
    pronouns["third"] = rate("she", "he", "they", "it")
    within = {
        name: value / whole if (whole := gendered if name in PRONOUNS else anyone) else 0.0
        for name, value in pronouns.items()
    }
    foreign = shares.get("foreign", 0.0) / total
    return {
        "kinds": {kind: share / total for kind, share in shares.items()},
        "pronouns": {"gendered": gendered, "any": anyone, **pronouns, "within": within},
        "identities": {axis: {"documents": rate(axis), "descriptors": shares} for axis, shares in IDENTITIES.items()},
        "documents_with_a_rude_line": rate("rude"),
        "rude_documents": rate("rant"),
        "languages": {"en": 1 - foreign, **{code: foreign * share for code, share in LANGUAGE_SHARES.items()}},
    }
