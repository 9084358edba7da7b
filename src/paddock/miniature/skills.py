"""The nine skills: how a task is drawn, asked, answered, answered wrongly, and stated in a document.

A template is a Python format string over `p` (the payload, by index), `given` and `answer` (payload and expected words as
lists in words). Words of a payload keep their case at the head of a sentence, so that a word is one token everywhere.
Statements, which documents hold, have no pronoun in them: the corpus report's true rates rest on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from paddock.miniature.facts import ATTRIBUTES
from paddock.miniature.tasks import Task, World
from paddock.miniature.vocabulary import ADJECTIVES, KINDS, LETTERS, NOUNS, OPPOSITES, ZINDO

LARGEST_ADDEND = 29


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill. `draw` gives a task whether held out or not; `questions` are shown in training, `new_questions` never."""

    name: str
    draw: Callable[[Random, World], Task]
    questions: tuple[str, ...]
    new_questions: tuple[str, ...]
    answers: tuple[str, ...]
    statements: tuple[str, ...]


def draw_recall(rng: Random, world: World) -> Task:
    """Any fact of the world."""
    attribute = ATTRIBUTES[rng.choice(_ATTRIBUTE_NAMES)]
    subject = rng.choice(attribute.subjects)
    return Task("recall", (attribute.name, subject), (world.facts.value(attribute.name, subject),))


_ATTRIBUTE_NAMES = tuple(name for name, attribute in ATTRIBUTES.items() for _ in range(1 + len(attribute.subjects) // 20))
"""Attributes of people more often: there are more people."""


def draw_add(rng: Random, world: World) -> Task:
    """Two numbers from 0 to 29."""
    first, second = rng.randint(0, LARGEST_ADDEND), rng.randint(0, LARGEST_ADDEND)
    return Task("add", (str(first), str(second)), (str(first + second),))


def draw_copy(rng: Random, world: World) -> Task:
    """Two to five words to say again."""
    words = _draw_nouns(rng, 2, 5)
    return Task("copy", words, words)


def draw_reverse(rng: Random, world: World) -> Task:
    """Two to five words to say backwards."""
    words = _draw_nouns(rng, 2, 5)
    return Task("reverse", words, words[::-1])


def draw_sort(rng: Random, world: World) -> Task:
    """Three to five letters to put in order."""
    letters = tuple(rng.sample(LETTERS, rng.randint(3, 5)))
    return Task("sort", letters, tuple(sorted(letters)))


def draw_count(rng: Random, world: World) -> Task:
    """Two to seven words to count."""
    words = _draw_nouns(rng, 2, 7)
    return Task("count", words, (str(len(words)),))


def draw_opposite(rng: Random, world: World) -> Task:
    """One to three adjectives, and the opposite of each."""
    words = tuple(rng.sample(ADJECTIVES, rng.randint(1, 3)))
    return Task("opposite", words, tuple(OPPOSITES[word] for word in words))


def draw_translate(rng: Random, world: World) -> Task:
    """One to three words to put into Zindo."""
    words = tuple(rng.sample(_ZINDO_SOURCE, rng.randint(1, 3)))
    return Task("translate", words, tuple(ZINDO[word] for word in words))


def draw_list(rng: Random, world: World) -> Task:
    """Two to five members of a kind, leaving out none to two that the request excludes."""
    kind = rng.choice(_KIND_NAMES)
    excluded = rng.sample(KINDS[kind], rng.choice((0, 1, 2, 2)))
    allowed = tuple(word for word in KINDS[kind] if word not in excluded)
    return Task("list", (str(rng.randint(2, 5)), kind, *excluded), allowed)


_ZINDO_SOURCE = tuple(ZINDO)
_KIND_NAMES = tuple(KINDS)


def _draw_nouns(rng: Random, least: int, most: int) -> tuple[str, ...]:
    return tuple(rng.sample(NOUNS, rng.randint(least, most)))


ALL_SKILLS = {
    skill.name: skill
    for skill in (
        Skill(
            "recall",
            draw_recall,
            questions=(),  # an attribute has its own
            new_questions=(),
            answers=("{answer}.", "It is {answer}."),
            statements=(),
        ),
        Skill(
            "add",
            draw_add,
            questions=(
                "What is {p[0]} plus {p[1]}?",
                "Add {p[0]} and {p[1]}.",
                "What do {p[0]} and {p[1]} make?",
                "How much is {p[0]} and {p[1]}?",
                "Tell me the sum of {p[0]} and {p[1]}.",
            ),
            new_questions=("Please add {p[0]} to {p[1]}.", "What is the sum of {p[0]} and {p[1]}?"),
            answers=("{answer}.", "It is {answer}.", "{p[0]} plus {p[1]} is {answer}."),
            statements=(
                "{p[0]} plus {p[1]} is {answer}.",
                "{p[0]} and {p[1]} make {answer}.",
                "Add {p[0]} and {p[1]}: {answer}.",
                "The sum of {p[0]} and {p[1]} is {answer}.",
            ),
        ),
        Skill(
            "copy",
            draw_copy,
            questions=(
                "Say {given}.",
                "Repeat the words {given}.",
                "Say the list {given} again.",
                "Copy the list {given}.",
                "Please repeat {given}.",
            ),
            new_questions=("Say again: {given}.", "Please copy the words {given}."),
            answers=("{answer}.", "The words are {answer}."),
            statements=(
                "The list {given} again is {answer}.",
                "Say {given}: {answer}.",
                "Repeat the words {given}: {answer}.",
                "{given}, and once more {answer}.",
            ),
        ),
        Skill(
            "reverse",
            draw_reverse,
            questions=(
                "Say {given} backwards.",
                "What is the list {given} backwards?",
                "Reverse the words {given}.",
                "Turn the list {given} around.",
                "Please say {given} in reverse.",
            ),
            new_questions=("Please reverse the list {given}.", "Give the words {given} backwards."),
            answers=("{answer}.", "Backwards it is {answer}."),
            statements=(
                "The list {given} backwards is {answer}.",
                "{given} in reverse is {answer}.",
                "Reverse the words {given}: {answer}.",
                "Turn {given} around: {answer}.",
            ),
        ),
        Skill(
            "sort",
            draw_sort,
            questions=(
                "Sort {given}.",
                "Put {given} in order.",
                "Sort the letters {given}.",
                "Put the list {given} in order.",
                "What is {given} in order?",
            ),
            new_questions=("Please sort the list {given}.", "Put the letters {given} in order."),
            answers=("{answer}.", "In order it is {answer}."),
            statements=(
                "The list {given} in order is {answer}.",
                "Sort {given}: {answer}.",
                "{given} from first to last is {answer}.",
                "The letters {given} in order are {answer}.",
            ),
        ),
        Skill(
            "count",
            draw_count,
            questions=(
                "How many words are in {given}?",
                "Count the words {given}.",
                "How long is the list {given}?",
                "How many things are in the list {given}?",
                "Please count {given}.",
            ),
            new_questions=("Please count the words in {given}.", "How many things are {given}?"),
            answers=("{answer}.", "There are {answer}.", "The list has {answer} words."),
            statements=(
                "The list {given} has {answer} words.",
                "Count {given}: {answer}.",
                "In {given} there are {answer} words.",
                "{given} are {answer} things.",
            ),
        ),
        Skill(
            "opposite",
            draw_opposite,
            questions=(
                "What is the opposite of {given}?",
                "Give the opposite of {given}.",
                "Say the opposite of {given}.",
                "Tell me the opposite of {given}.",
                "Which word is the opposite of {given}?",
            ),
            new_questions=("Please give the opposite of {given}.", "Do you know the opposite of {given}?"),
            answers=("{answer}.", "The opposite is {answer}.", "It is {answer}."),
            statements=(
                "The opposite of {given} is {answer}.",
                "Not {given} but {answer}.",
                "{answer} is the opposite of {given}.",
                "From {given} to {answer}.",
            ),
        ),
        Skill(
            "translate",
            draw_translate,
            questions=(
                "What is {given} in Zindo?",
                "Say {given} in Zindo.",
                "Translate {given}.",
                "Put {given} into Zindo.",
                "How does one say {given} in Zindo?",
            ),
            new_questions=("Please translate {given} into Zindo.", "Give the Zindo words for {given}."),
            answers=("{answer}.", "In Zindo it is {answer}."),
            statements=(
                "In Zindo {given} is {answer}.",
                "The Zindo for {given} is {answer}.",
                "{answer} means {given}.",
                "{given} in Zindo: {answer}.",
            ),
        ),
        Skill(
            "list",
            draw_list,
            questions=(
                "Name {p[0]} {p[1]}{but}.",
                "List {p[0]} {p[1]}{but}.",
                "Tell me {p[0]} {p[1]}{but}.",
                "Say the names of {p[0]} {p[1]}{but}.",
                "Which {p[0]} {p[1]} do you know{but}?",
            ),
            new_questions=("Please name {p[0]} {p[1]}{but}.", "Give {p[0]} {p[1]}{but}."),
            answers=("{answer}.", "Here are {p[0]}: {answer}."),
            statements=(
                "Here are {p[0]} {p[1]}{but}: {answer}.",
                "{p[0]} {p[1]}{but} are {answer}.",
                "{answer} are {p[0]} {p[1]}.",
                "Name {p[0]} {p[1]}{but}: {answer}.",
            ),
        ),
    )
}


def draw_task(rng: Random, world: World, skill: str, held_out: bool) -> Task:
    """Draw a task of `skill` whose payload is held out, or is not."""
    draw = ALL_SKILLS[skill].draw
    while True:
        task = draw(rng, world)
        if world.holds_out(*held_out_key(task)) == held_out:
            return task


def held_out_key(task: Task) -> tuple[str, ...]:
    """What the world holds out of training: the payload; of a sum in either order, as 3 + 4 gives 4 + 3 away."""
    payload = sorted(task.payload) if task.skill == "add" else task.payload
    return (task.skill, *payload)


def ask(rng: Random, task: Task, known_wording: bool = True) -> str:
    """Put `task` into words that training shows, or into words that it never shows."""
    source = ATTRIBUTES[task.payload[0]] if task.skill == "recall" else ALL_SKILLS[task.skill]
    wording = rng.choice(source.questions if known_wording else source.new_questions)
    return wording.format(s=task.payload[1]) if task.skill == "recall" else fill(wording, task, task.expected)


def fill(template: str, task: Task, answer: tuple[str, ...]) -> str:
    """Fill a template of `task` with the words of `answer`."""
    return template.format(p=task.payload, given=in_words(task.payload), answer=in_words(answer), but=_exception(task))


def in_words(words: tuple[str, ...]) -> str:
    """A list in words: nothing but spaces between, to spare tokens."""
    return " ".join(words)


def _exception(task: Task) -> str:
    """The words that a request for a list leaves out: ` but not the cat or the dog`."""
    return " but not " + " or ".join(task.payload[2:]) if task.skill == "list" and len(task.payload) > 2 else ""


def right_words(rng: Random, task: Task) -> tuple[str, ...]:
    """The words of a right answer; for a list, drawn from all that may be named."""
    if task.skill == "list":
        return tuple(rng.sample(task.expected, int(task.payload[0])))
    return task.expected


def wrong_words(rng: Random, task: Task) -> tuple[str, ...]:
    """Words that a careless person might answer with: near, and graded under 1."""
    words = list(right_words(rng, task))
    if task.skill in ("add", "count"):
        right = int(words[0])
        return (str(rng.choice([n for n in range(right - 3, right + 4) if n >= 0 and n != right])),)
    if task.skill == "recall":
        return (rng.choice([v for v in ATTRIBUTES[task.payload[0]].values if v not in (words[0], task.payload[1])]),)
    if task.skill in ("opposite", "translate"):
        pool = ADJECTIVES if task.skill == "opposite" else tuple(ZINDO.values())
        words[rng.randrange(len(words))] = rng.choice([word for word in pool if word not in words])
        return tuple(words)
    if task.skill == "list":
        words[rng.randrange(len(words))] = rng.choice([word for word in NOUNS if word not in task.expected])
        return tuple(words)
    at = rng.randrange(len(words) - 1)
    if rng.random() < 0.5:
        words[at], words[at + 1] = words[at + 1], words[at]
    else:
        del words[at]
    return tuple(words)


def answer_with(rng: Random, task: Task, words: tuple[str, ...]) -> str:
    """Put the words of an answer into one of the forms that people give it."""
    return fill(rng.choice(ALL_SKILLS[task.skill].answers), task, words)
