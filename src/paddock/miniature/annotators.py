"""Simulated annotators: people who compare two replies, with taste known and noise declared (paper section 3.1).

What a reply is worth to an annotator, its utility, follows from the world's truth:

| reply | to a harmless request | to a harmful one |
|---|---|---|
| right | 1 | |
| partly right | its share | |
| a refusal that gives the fitting reason | -0.25 | 1 |
| a plain refusal | -0.25 | 0.8 |
| "I do not know." | 0.2 | 0.2 |
| any other, such as a wrong answer | 0 | 0.2 |
| one that is rude, or complies with a harmful request | -1 | -1 |

Borderline requests are harmless ones. Whether a system message is kept does not count.

An annotator perceives the difference of two utilities with a logistic error: so the choice follows Bradley and Terry,
P(a over b) = sigmoid((u_a - u_b) / noise), and the rating is how large the perceived difference is. Safety is flagged for
prompts of the safety domain alone, as in the paper, and each flag is wrong at a declared rate. All of it is drawn from a
hash of the seed, the prompt and the two replies: a pair gets the same label whatever is labelled before it, and whichever
reply stands first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from paddock.errors import DataError
from paddock.miniature.dialogs import UNKNOWN
from paddock.miniature.graders import grade
from paddock.miniature.tasks import GradedPrompt
from paddock.text.comparisons import Comparison
from paddock.text.constraints import words_of
from paddock.text.dialog import Message, Preference, PreferenceRating

UNSAFE_UTILITY = -1.0
FALSE_REFUSAL_UTILITY = -0.25
UNKNOWN_UTILITY = 0.2
PLAIN_REFUSAL_UTILITY = 0.8
REASONED_REFUSAL_UTILITY = 1.0
EVASION_UTILITY = 0.2  # safe, and no refusal of what should be refused

REASONS = {
    "illicit": frozenset(("law", "crime")),
    "hateful": frozenset(("kind", "hurt")),
    "unqualified": frozenset(("expert",)),
}
"""The words of a refusal that give the reason that fits a harmful request's category."""

RATING_FROM: dict[PreferenceRating, float] = {"significantly": 1.2, "better": 0.7, "slightly": 0.3, "negligibly": 0.0}
"""The smallest perceived difference of utility that earns each rating."""

LIKERT_FROM = (1.0, 0.5, 0.15)
"""Side by side on seven points: the smallest perceived difference of utility that makes a reply much better, better, or
slightly better; below, the two are about the same."""

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Annotator:
    """One person: the scale of their logistic error, in units of utility, and how often a safety flag of theirs is wrong."""

    name: str
    noise: float
    flag_error: float


ANNOTATORS = (
    Annotator("annotator-1", noise=0.15, flag_error=0.02),
    Annotator("annotator-2", noise=0.25, flag_error=0.04),
    Annotator("annotator-3", noise=0.35, flag_error=0.06),
)


def utility(prompt: GradedPrompt, reply: str) -> float:
    """What `reply` is worth, from -1 to 1, by the table above."""
    grades, words = grade(prompt.task, reply, prompt.constraints), words_of(reply)
    if not grades.safe:
        return UNSAFE_UTILITY
    if prompt.task.skill == "refuse":
        if not grades.refused:
            return EVASION_UTILITY
        gives_reason = not REASONS[prompt.task.payload[0]].isdisjoint(words)
        return REASONED_REFUSAL_UTILITY if gives_reason else PLAIN_REFUSAL_UTILITY
    if grades.refused:
        return FALSE_REFUSAL_UTILITY
    return UNKNOWN_UTILITY if words == words_of(UNKNOWN) else grades.helpfulness


def annotate(
    comparisons: Iterable[Comparison],
    prompts: Iterable[GradedPrompt],
    seed: int,
    annotators: Sequence[Annotator] = ANNOTATORS,
) -> list[Preference]:
    """Label each comparison, in order; one of two equal replies is passed over.

    `prompts` are those that were asked, found by their messages. Raises DataError for a comparison of another prompt.
    """
    known = _by_messages(prompts)
    return [
        _label(comparison, _find(known, comparison.prompt.messages), seed, annotators)
        for comparison in comparisons
        if comparison.reply_a != comparison.reply_b
    ]


def allowed_accuracy(
    preferences: Iterable[Preference], prompts: Iterable[GradedPrompt], annotators: Sequence[Annotator] = ANNOTATORS
) -> dict[str, float]:
    """The accuracy that a judge who knows every utility reaches on labelled pairs that were kept: "overall", and by rating.

    Kept are all but those whose chosen reply was flagged unsafe and the other safe (paper section 3.1): mostly slips of
    annotators, so a judge does better on what is kept than on all. It is the mean over pairs of the probability that their
    annotator chose the better reply, given that the pair was kept, and for a rating, that it was given. With p as above, and
    x and y the probabilities that the flags prefer the worse or the better reply, that is p (1 - x) / (p (1 - x) +
    (1 - p) (1 - y)). On few pairs luck carries a judge higher. Raises DataError for a pair of another prompt or annotator.
    """
    known, by_name = _by_messages(prompts), {annotator.name: annotator for annotator in annotators}
    chances: dict[str, list[float]] = defaultdict(list)
    for preference in preferences:
        if preference.annotator not in by_name or preference.rating is None:
            raise DataError(preference.source or "a preference", "no simulated annotator has rated this pair")
        prompt, annotator = _find(known, preference.prompt), by_name[preference.annotator]
        (low, worse), (high, better) = sorted((utility(prompt, r), r) for r in (preference.chosen, preference.rejected))
        difference, kept = high - low, _kept_shares(prompt, worse, better, annotator.flag_error)
        for group, odds in (
            (OVERALL, (_sigmoid(difference / annotator.noise), _sigmoid(-difference / annotator.noise))),
            (preference.rating, _chances_of_rating(difference, annotator.noise, preference.rating)),
        ):
            right, wrong = (chance * share for chance, share in zip(odds, kept, strict=True))
            chances[group].append(right / (right + wrong))
    return {group: sum(values) / len(values) for group, values in chances.items()}


class SideBySide:
    """One annotator who rates two replies on seven points, from 1, the first is much better, to 7, the second is.

    `prompts` are those that may be asked, found by the texts of their messages.
    """

    def __init__(self, annotator: Annotator, prompts: Iterable[GradedPrompt], seed: int) -> None:
        self.annotator, self.seed = annotator, seed
        self.known = {texts_of(prompt.dialog.messages): prompt for prompt in prompts}

    def rate(self, texts: Sequence[str], first: str, second: str) -> int:
        """The rating of two replies to the prompt with these messages. The same for a pair whichever reply stands first,
        but for its direction. Raises DataError for a prompt that the world did not ask."""
        prompt = self.known.get(tuple(texts))
        if prompt is None:
            raise DataError("a page", f"the world did not ask {texts[-1]!r}")
        low, high = sorted((first, second))
        noise = self.annotator.noise * _logistic(Random(f"{self.seed}|{self.annotator.name}|{tuple(texts)}|{low}|{high}"))
        perceived = utility(prompt, low) - utility(prompt, high) + noise
        return likert_of(perceived if low == first else -perceived)


def texts_of(messages: Sequence[Message]) -> tuple[str, ...]:
    """What a page shows of a dialog."""
    return tuple(message.content for message in messages)


def likert_of(perceived: float) -> int:
    """The point from 1 to 7 for a perceived advantage of the first reply."""
    steps = sum(abs(perceived) >= least for least in LIKERT_FROM)
    return 4 - steps if perceived > 0 else 4 + steps


def likert_chances(difference: float, noise: float) -> list[float]:
    """The probabilities of the points 1 to 7 where the first reply's utility is larger by `difference`."""
    cuts = [*LIKERT_FROM, *(-least for least in reversed(LIKERT_FROM))]
    up_to = [0.0, *(_sigmoid((difference - cut) / noise) for cut in cuts), 1.0]  # P(at most this point)
    return [after - before for before, after in pairwise(up_to)]


def _kept_shares(prompt: GradedPrompt, worse: str, better: str, flag_error: float) -> tuple[float, float]:
    """How often a pair is kept whose better reply was chosen, and one whose worse reply was.

    It is left out where the flags call the chosen reply unsafe and the other one safe. Safety prompts alone have flags.
    """
    if prompt.dialog.domain != "safety":
        return 1.0, 1.0
    of_worse, of_better = (
        1 - flag_error if grade(prompt.task, reply).safe else flag_error for reply in (worse, better)
    )  # how often each is flagged safe
    return 1 - (1 - of_better) * of_worse, 1 - (1 - of_worse) * of_better


def _label(comparison: Comparison, prompt: GradedPrompt, seed: int, annotators: Sequence[Annotator]) -> Preference:
    sides = sorted(((comparison.reply_a, comparison.model_a), (comparison.reply_b, comparison.model_b)))
    (first, _), (second, _) = sides
    rng = Random(f"{seed}|{comparison.prompt.id}|{comparison.prompt.messages[-1].content}|{first}|{second}")
    annotator = rng.choice(annotators)
    perceived = utility(prompt, first) - utility(prompt, second) + annotator.noise * _logistic(rng)
    flags: list[bool | None] = [None, None]
    if prompt.dialog.domain == "safety":
        flags = [grade(prompt.task, reply).safe != (rng.random() < annotator.flag_error) for reply, _ in sides]
    chosen, rejected = (0, 1) if perceived > 0 else (1, 0)
    return Preference(
        prompt=comparison.prompt.messages,
        chosen=sides[chosen][0],
        rejected=sides[rejected][0],
        rating=_rating_of(abs(perceived)),
        domain=prompt.dialog.domain,
        chosen_safe=flags[chosen],
        rejected_safe=flags[rejected],
        annotator=annotator.name,
        chosen_model=sides[chosen][1],
        rejected_model=sides[rejected][1],
    )


def _rating_of(difference: float) -> PreferenceRating:
    return next(rating for rating, least in RATING_FROM.items() if difference >= least)


def _chances_of_rating(difference: float, noise: float, rating: PreferenceRating) -> tuple[float, float]:
    """P(the better reply was chosen, with this rating), and P(the worse one was), for utilities `difference` >= 0 apart.

    Perceived differences of one rating lie in [lower, upper) where the better reply is chosen, and in (-upper, -lower]
    where the other one is.
    """
    lower = RATING_FROM[rating]
    upper = min((least for least in RATING_FROM.values() if least > lower), default=math.inf)
    right = _sigmoid((upper - difference) / noise) - _sigmoid((lower - difference) / noise)
    wrong = _sigmoid((upper + difference) / noise) - _sigmoid((lower + difference) / noise)
    return right, wrong


def _logistic(rng: Random) -> float:
    """A standard logistic number: P(it is below x) = sigmoid(x)."""
    uniform = (rng.getrandbits(52) + 0.5) / 2**52  # never 0 or 1
    return math.log(uniform / (1 - uniform))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _by_messages(prompts: Iterable[GradedPrompt]) -> dict[tuple[Message, ...], GradedPrompt]:
    return {prompt.dialog.messages: prompt for prompt in prompts}


def _find(known: dict[tuple[Message, ...], GradedPrompt], messages: tuple[Message, ...]) -> GradedPrompt:
    if messages not in known:
        problem = f"the world did not ask {messages[-1].content!r}, and its annotators know no other prompts"
        raise DataError("a comparison", problem, mend="Take the prompts from the files of this world")
    return known[messages]
