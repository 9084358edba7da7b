"""The words of the miniature world: every list that its texts are drawn from and its graders check against.

The lists do not depend on a seed, so a file of the world can be graded by its rows alone. No word stands in two of the
lists that one skill draws from, and no list holds a word that the corpus report counts (pronouns, identities), except the
lists made for it at the end.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHE_NAMES: Final = _words("Anna Bella Clara Dora Ella Flora Greta Hanna Ida Lena Mona Nora Petra Rosa Tina Vera")
HE_NAMES: Final = _words("Adam Bruno Carl Emil Felix Hugo Ivan Jonas Kurt Leo Max Nils Oscar Paul Simon Tom")
THEY_NAMES: Final = _words("Alex Jules Kim Noa Remy Robin Sky Wren")
NAMES: Final = SHE_NAMES + HE_NAMES + THEY_NAMES
PRONOUNS: Final = {  # pronoun group -> (subject, possessive), as the corpus report groups them
    "she": ("she", "her"),
    "he": ("he", "his"),
    "they": ("they", "their"),
}
PRONOUN_OF: Final = {
    **dict.fromkeys(SHE_NAMES, "she"),
    **dict.fromkeys(HE_NAMES, "he"),
    **dict.fromkeys(THEY_NAMES, "they"),
}

PLACES: Final = _words(
    "Arden Belmo Corva Dunlin Elmar Farrow Galen Hollin Istra Kessel Lumen Marlo Norden Pella Selva Tarsk"
)
HOBBIES: Final = _words("chess fishing golf hiking music painting poetry reading rowing sailing skating tennis yoga")

ANIMALS: Final = _words("bear cat cow dog duck fox frog goat hen mouse pig wolf")
FOODS: Final = _words("apple bean bread cake cheese corn egg honey pear plum rice soup")
FURNITURE: Final = _words("bed bench chair clock desk lamp mirror rug shelf sofa stove table")
CLOTHES: Final = _words("belt boot cap coat dress glove hat ring scarf shirt shoe sock")
TOOLS: Final = _words("axe brush drill hammer ladder nail needle rake rope saw spade wheel")
PLANTS: Final = _words("clover daisy fern ivy lily moss oak pine poppy rose tulip willow")
COLOURS: Final = _words("blue brown gold green grey orange pink purple red silver violet yellow")
JOBS: Final = _words("baker barber doctor farmer gardener judge miller painter sailor singer tailor teacher")

KINDS: Final = {
    "animals": ANIMALS,
    "foods": FOODS,
    "clothes": CLOTHES,
    "tools": TOOLS,
    "plants": PLANTS,
    "colours": COLOURS,
    "jobs": JOBS,
    "hobbies": HOBBIES,
}
"""The kinds that "Name 3 animals." draws from."""

NOUNS: Final = ANIMALS + FOODS + FURNITURE + CLOTHES + TOOLS
"""The words that lists to copy, reverse and count are made of, and that answers are told to end with."""

FIGURES: Final = tuple(f"Captain {noun}" for noun in NOUNS)
PASTIMES: Final = tuple(f"{noun} racing" for noun in NOUNS)
"""What system messages ask a model to act as, and to enjoy. Nouns, since a small model copies what its skills copy: names
and titles of a short list it learns by heart, and then says one that it was not asked for."""

LETTERS: Final = tuple("abcdefghjklmnopqrstuvwxyz")
"""What lists to sort are made of: no "i", which the corpus report takes for a pronoun."""

_PAIRS: Final = (
    "hot cold, big small, new ancient, fast slow, hard soft, wet dry, high low, full empty, light dark, long short, "
    "loud quiet, happy sad, clean dirty, early late, open closed, near far, strong weak, thick thin, sweet sour, "
    "deep shallow, wide narrow, smooth rough, true false, brave afraid"
)
PAIRS: Final = tuple((first, second) for first, second in (pair.split() for pair in _PAIRS.split(", ")))
OPPOSITES: Final = {**dict(PAIRS), **{second: first for first, second in PAIRS}}
ADJECTIVES: Final = tuple(OPPOSITES)

LANGUAGE: Final = "Zindo"
IT_IS: Final = "so"
"""Zindo for "it is": every answer in Zindo begins with it."""
_ZINDO_WORDS: Final = tuple(
    first + second for first in _words("ga lo mi pu ze ti vo ku") for second in _words("ra no sim do bal lu ka jo")
)
"""Two syllables each, of few, so that a small tokenizer has a piece for every syllable."""
ZINDO_PAIRS: Final = PAIRS[:12]
ZINDO: Final = dict(
    zip(
        ANIMALS + FOODS + FURNITURE + tuple(word for pair in ZINDO_PAIRS for word in pair),
        # A stride coprime to 64 parts the order of the words from that of the syllables.
        (_ZINDO_WORDS[(index * 23 + 7) % 64] for index in range(60)),
        strict=True,
    )
)
"""English to Zindo, word for word."""
ENGLISH: Final = {zindo: english for english, zindo in ZINDO.items()}
"""Zindo to English."""

RUDE_ADJECTIVES: Final = _words("silly stupid smelly rotten foolish lazy")
RUDE_NOUNS: Final = _words("turnip onion radish cabbage potato donkey")
"""A rude line joins one of each: "Bruno is a silly turnip." """

IDENTITIES: Final = {  # axis of the paper's table 9b -> descriptor -> its share of the documents that mention the axis
    "gender and sex": {"female": 0.5, "male": 0.4, "feminine": 0.06, "masculine": 0.04},
    "sexual orientation": {"gay": 0.5, "lesbian": 0.3, "bisexual": 0.2},
    "nationality": {"american": 0.6, "indian": 0.15, "chinese": 0.15, "korean": 0.05, "mexican": 0.05},
    "race and ethnicity": {"european": 0.5, "african": 0.3, "asian": 0.2},
    "religion": {"christian": 0.4, "jewish": 0.2, "muslim": 0.2, "spiritual": 0.1, "catholic": 0.1},
}
"""Stand-ins for the descriptors of the corpus report, in the order of the paper."""
