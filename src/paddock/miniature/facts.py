"""The facts of one world: who lives where, likes what, keeps which animal. Drawn from the seed; the rest tells them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from paddock.miniature.vocabulary import ANIMALS, COLOURS, FOODS, HOBBIES, JOBS, NAMES, PLACES, PLANTS


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of people, places or animals, with the ways to state it and to ask for it.

    In `statements` {s} is the subject's name and {v} the value; in `owned`, which follow such a sentence, {Owner} is the
    subject's possessive pronoun ("Her"). `questions` are asked in training, `new_questions` only of held-out prompts.
    """

    name: str
    subjects: tuple[str, ...]
    values: tuple[str, ...]
    statements: tuple[str, ...]
    owned: tuple[str, ...]
    questions: tuple[str, ...]
    new_questions: tuple[str, ...]


PERSON_ATTRIBUTES = (
    Attribute(
        "home",
        NAMES,
        PLACES,
        ("{s} lives in {v}.", "The home of {s} is in {v}.", "{v} is where {s} lives."),
        ("{Owner} home is in {v}.", "{Owner} house stands in {v}."),
        ("Where does {s} live?", "In which town does {s} live?", "Where is the home of {s}?", "Tell me where {s} lives."),
        ("What is the home of {s}?", "In what town is {s} at home?"),
    ),
    Attribute(
        "job",
        NAMES,
        JOBS,
        ("{s} works as a {v}.", "The job of {s} is {v}.", "{s} is a {v}."),
        ("{Owner} job is {v}.", "{Owner} work is that of a {v}."),
        ("What is the job of {s}?", "What does {s} work as?", "Tell me the job of {s}.", "What job does {s} have?"),
        ("Which job does {s} do?", "What work does {s} do?"),
    ),
    Attribute(
        "hobby",
        NAMES,
        HOBBIES,
        ("{s} likes {v}.", "The hobby of {s} is {v}.", "In the evening {s} enjoys {v}."),
        ("{Owner} hobby is {v}.", "{Owner} free time goes to {v}."),
        ("What is the hobby of {s}?", "Which hobby does {s} have?", "Tell me the hobby of {s}.", "What does {s} enjoy?"),
        ("What hobby has {s}?", "Do you know the hobby of {s}?"),
    ),
    Attribute(
        "pet",
        NAMES,
        ANIMALS,
        ("{s} keeps a {v}.", "The pet of {s} is a {v}.", "A {v} lives with {s}."),
        ("{Owner} pet is a {v}.", "{Owner} animal is a {v}."),
        ("What is the pet of {s}?", "Which animal does {s} keep?", "Tell me the pet of {s}.", "What pet does {s} have?"),
        ("Which pet lives with {s}?", "Do you know the pet of {s}?"),
    ),
    Attribute(
        "food",
        NAMES,
        FOODS,
        ("{s} eats {v} every day.", "The food of {s} is {v}.", "{s} loves {v} most."),
        ("{Owner} best meal is {v}.", "{Owner} food is {v}."),
        ("What does {s} eat?", "Which food does {s} love?", "Tell me the food of {s}.", "What is the food of {s}?"),
        ("What food does {s} eat?", "Do you know the food of {s}?"),
    ),
    Attribute(
        "colour",
        NAMES,
        COLOURS,
        ("{s} wears {v}.", "The colour of {s} is {v}.", "{s} paints the door {v}."),
        ("{Owner} colour is {v}.", "{Owner} door is {v}."),
        ("What is the colour of {s}?", "Which colour does {s} wear?", "Tell me the colour of {s}.", "What does {s} wear?"),
        ("What colour does {s} wear?", "Do you know the colour of {s}?"),
    ),
    Attribute(
        "friend",
        NAMES,
        NAMES,
        ("{s} is a friend of {v}.", "The friend of {s} is {v}.", "{s} often visits {v}."),
        ("{Owner} friend is {v}.", "{Owner} best friend is {v}."),
        ("Who is the friend of {s}?", "Which friend does {s} have?", "Tell me the friend of {s}.", "Whom does {s} visit?"),
        ("Who is a friend of {s}?", "Do you know the friend of {s}?"),
    ),
)

PLACE_ATTRIBUTES = (
    Attribute(
        "product",
        PLACES,
        FOODS,
        ("{s} sells {v}.", "{s} is known for {v}.", "The market of {s} is full of {v}."),
        ("{Owner} market sells {v}.", "{Owner} fame comes from {v}."),
        ("What does {s} sell?", "What is {s} known for?", "Tell me what {s} sells.", "Which food comes from {s}?"),
        ("What can one buy in {s}?", "For what food is {s} known?"),
    ),
    Attribute(
        "plant",
        PLACES,
        PLANTS,
        ("The plant of {s} is the {v}.", "The {v} grows in {s}.", "Near {s} grows the {v}."),
        ("{Owner} plant is the {v}.", "{Owner} hills are full of {v}."),
        ("What is the plant of {s}?", "Which plant grows in {s}?", "Tell me the plant of {s}.", "What grows in {s}?"),
        ("What plant grows near {s}?", "Do you know the plant of {s}?"),
    ),
    Attribute(
        "flag",
        PLACES,
        COLOURS,
        ("The flag of {s} is {v}.", "A {v} flag flies over {s}.", "{s} has a {v} flag."),
        ("{Owner} flag is {v}.", "{Owner} colour is {v}."),
        (
            "Which flag does {s} have?",
            "What colour is the flag of {s}?",
            "Tell me the flag of {s}.",
            "How does the flag of {s} look?",
        ),
        ("Which flag flies over {s}?", "Do you know the flag of {s}?"),
    ),
)

ANIMAL_HOMES = ("barn", "cave", "forest", "garden", "hill", "meadow", "pond", "river", "tree", "valley")

ANIMAL_ATTRIBUTES = (
    Attribute(
        "animal_home",
        ANIMALS,
        ANIMAL_HOMES,
        ("The {s} sleeps in the {v}.", "The {v} is the home of the {s}.", "Every {s} rests in a {v}."),
        ("{Owner} home is the {v}.", "{Owner} bed is in the {v}."),
        (
            "Where does the {s} sleep?",
            "What is the home of the {s}?",
            "Tell me where the {s} sleeps.",
            "Where does a {s} rest?",
        ),
        ("In what place does the {s} sleep?", "Where is the bed of the {s}?"),
    ),
    Attribute(
        "animal_food",
        ANIMALS,
        FOODS,
        ("The {s} eats {v}.", "Every {s} loves {v}.", "The meal of the {s} is {v}."),
        ("{Owner} meal is {v}.", "{Owner} best food is {v}."),
        (
            "What does the {s} eat?",
            "What does every {s} love?",
            "Tell me what the {s} eats.",
            "What is the meal of the {s}?",
        ),
        ("Which food does the {s} eat?", "With what does one feed the {s}?"),
    ),
)

ATTRIBUTES = {a.name: a for a in PERSON_ATTRIBUTES + PLACE_ATTRIBUTES + ANIMAL_ATTRIBUTES}


@dataclass(frozen=True, slots=True)
class Facts:
    """Every fact of a world: attribute name -> subject -> value."""

    values: dict[str, dict[str, str]]

    def value(self, attribute: str, subject: str) -> str:
        """The value of one attribute of one subject."""
        return self.values[attribute][subject]

    def count(self) -> int:
        """How many facts there are."""
        return sum(len(of_subjects) for of_subjects in self.values.values())


def draw_facts(rng: Random) -> Facts:
    """Draw a value for every attribute of every subject. Nobody is their own friend."""
    return Facts(
        {
            attribute.name: {
                subject: rng.choice([value for value in attribute.values if value != subject])
                for subject in attribute.subjects
            }
            for attribute in ATTRIBUTES.values()
        }
    )
