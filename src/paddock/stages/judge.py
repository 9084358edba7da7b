"""Models compared side by side by a judge: any chat model with a rubric, or reward models (paper section 3.4.2).

Every opponent replies to every prompt in its own way: each has its own system prompt and sampling (Table 32). Two replies
to a prompt are then judged, in both orders or in one that the seed draws, and verdicts become wins, ties and losses, counted
by prompt. What a judge says that is no verdict, and a reply that failed, stand in the table with their problem, counted.

    judgements.jsonl       a row a contest; `paddock compare` reads it
    replies/NAME.jsonl     an opponent's replies, which can stand for it another time
    cache/answers.jsonl    what was answered, as it came: a killed run goes on from there

Departures: the paper swaps the order at random, and leaves ties out of Figure 2. Here both orders is the default, a pair
whose two verdicts contradict each other is a tie, and ties are shown; `win_without_ties` is the paper's figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from paddock.backends.spec import spec_inputs
from paddock.errors import SettingsError
from paddock.evaluate.comparison import compare
from paddock.evaluate.judge import (
    COLUMNS,
    EQUAL_REPLIES,
    Contest,
    Item,
    Judged,
    Order,
    both_or_neither,
    broken,
    contests,
    judgements,
    pairs_of,
    position_bias,
)
from paddock.evaluate.rubric import Verdict, ask, built_in, read_rubric, read_verdict
from paddock.journal import Journal
from paddock.progress import say
from paddock.protocols import Sampling
from paddock.run_dir import StageDir, write_json_lines
from paddock.stages.answers import Answer, Asked, cost, kept_answers, rewards_by_domain, scores_by_domain
from paddock.stages.opponents import Opponents, Replies, ReplySettings, items_of, named_models, replies_of
from paddock.text.dialog import DOMAINS, Domain
from paddock.text.readers import Sources

JUDGEMENTS = "judgements.jsonl"
SAMPLES = 64
NO_VERDICT, CUT_SHORT, NO_SCORE = "no verdict in what the judge wrote", "the judge was cut short", "no score"

Contestants = Mapping[str, Mapping[str, Answer]]
"""The answers of each model by the names of the items."""


class JudgeSettings(ReplySettings):
    """Who is compared, on what, and by whom."""

    data: Sources = Field(min_length=1, description="prompts; the domain of each says which rubric or reward judges it")
    opponents: Opponents = Field(
        description="two models or more by name, each a folder, a .jsonl of ready replies, a YAML file or its fields; or a "
        "YAML file that names them so"
    )
    baseline: str | None = Field(None, description="the opponent whom all others are compared with; None: every pair")
    judge: str | dict[str, Any] | None = Field(None, description="the chat model that judges: a folder or a spec")
    rubric: str | None = Field(None, description="a file with {prompt}, {reply_a}, {reply_b}; None: the built-in ones")
    safety_rubric: str | None = Field(None, description="that of prompts of domain safety; None: as rubric")
    helpfulness_reward: str | dict[str, Any] | None = Field(None, description="instead of a judge: a reward model")
    safety_reward: str | dict[str, Any] | None = Field(
        None, description="the reward model of prompts of domain safety; None: helpfulness_reward"
    )
    tie_margin: float = Field(0.0, ge=0, description="two rewards that differ by no more, in logits, tie")
    order: Literal["both", "random"] = Field(
        "both", description="both: a judge sees each pair twice, swapped; random: once, drawn by the seed"
    )
    by: tuple[str, ...] | None = Field(
        None,
        description="columns of the prompts' rows to give figures by, such as category or task.skill; None: those of "
        "domain, category, turns and prompt_words that there are",
    )
    verdict_tokens: int = Field(512, ge=1, description="tokens of a verdict, where the judge's spec says none")

    @model_validator(mode="after")
    def _has_one_judge(self) -> JudgeSettings:
        if (self.judge is None) == (self.helpfulness_reward is None):
            raise ValueError("either a chat model judges or a reward model does: give one of judge and helpfulness_reward")
        if self.safety_reward is not None and self.helpfulness_reward is None:
            raise ValueError("safety_reward stands beside helpfulness_reward: give both, or judge alone")
        return self

    @model_validator(mode="after")
    def _groups_by_columns_of_the_prompts(self) -> JudgeSettings:
        if taken := [name for name in self.by or () if name in COLUMNS]:
            raise ValueError(f"by: the table of verdicts has a column {', '.join(taken)} itself. Rename that of the prompts")
        return self

    def inputs(self) -> list[str]:
        """The prompts, the opponents' file, the rubrics, and whatever opponents and judges read."""
        files = [self.opponents if isinstance(self.opponents, str) else None, self.rubric, self.safety_rubric]
        judges = [spec for spec in (self.judge, self.helpfulness_reward, self.safety_reward) if spec is not None]
        models = [path for asked in named_models(self.opponents) for path in asked.inputs]
        models += [path for spec in judges for path in spec_inputs(spec)]
        return list(dict.fromkeys([*(source.path for source in self.data), *filter(None, files), *models]))

    def pairs(self, opponents: Sequence[Asked]) -> list[tuple[str, str]]:
        """Who meets whom. Raises SettingsError for a baseline that is no opponent."""
        names = [asked.name for asked in opponents]
        if self.baseline is not None and self.baseline not in names:
            raise SettingsError(f"the baseline {self.baseline} is none of {', '.join(names)}")
        return pairs_of(names, self.baseline)


def plan(settings: JudgeSettings) -> dict[str, Any]:
    """How many replies would be sampled, and how many verdicts asked for, at most."""
    opponents, items = named_models(settings.opponents), items_of(settings.data, settings.by)
    pairs = settings.pairs(opponents)
    verdicts = len(items) * len(pairs) * (2 if settings.order == "both" else 1) if settings.judge is not None else 0
    for domain in DOMAINS:
        rubric_of(settings, domain)
    return {
        "prompts": len(items),
        "opponents": len(opponents),
        "pairs": len(pairs),
        "replies": len(items) * len(opponents),
        "verdicts": verdicts,
    }


def run(settings: JudgeSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Let the opponents reply and the judge decide. Returns the figures of `results.json`.

    Raises PaddockError where the cache is in use by another run, and what back ends raise.
    """
    opponents, items = named_models(settings.opponents), items_of(settings.data, settings.by)
    pairs = settings.pairs(opponents)
    with kept_answers(settings.cache, stage_dir) as journal:
        replies = [replies_of(asked, items, settings.sampling, stage_dir.path, journal) for asked in opponents]
        judged, judges = verdicts(settings, items, pairs, replies, journal)
    write_json_lines(stage_dir.path / JUDGEMENTS, (one.to_row() for one in judged))
    stage_dir.write_samples(_samples(judged, contestants_of(items, replies)))
    by = [name for name, _ in items[0].groups]
    problems = broken(judged)
    if problems:
        say(f"judge: {sum(problems.values()):,} of {len(judged):,} contests have no verdict: {next(iter(problems))}")
    return {
        "prompts": len(items),
        "contests": len(judged),
        "broken": problems,
        "opponents": [{"model": one.asked.name, **one.figures()} for one in replies],
        "judges": judges,
        "position_bias": position_bias(judged, seed=settings.seed) if settings.judge is not None else None,
        **compare(judgements(judged), by, seed=settings.seed, models=_in_order(pairs)).as_result(),
    }


def _in_order(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The models such that each pair's first stands before its second: a baseline comes last."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    return sorted(names, key=lambda name: all(first != name for first, _ in pairs))


def contestants_of(items: Sequence[Item], replies: Sequence[Replies]) -> Contestants:
    """The answers by model and item."""
    return {one.asked.name: {item.name: answer for item, answer in zip(items, one.answers, strict=True)} for one in replies}


def verdicts(
    settings: JudgeSettings,
    items: Sequence[Item],
    pairs: Sequence[tuple[str, str]],
    replies: Sequence[Replies],
    journal: Journal,
) -> tuple[list[Judged], dict[str, Any]]:
    """Every contest with its verdict or its problem, in order, and what each judge cost.

    A failed reply is a problem, and two equal replies tie: nobody is asked about either. Of a pair that is judged in both
    orders either both verdicts count or neither.
    """
    contestants = contestants_of(items, replies)
    order: Order = settings.order if settings.judge is not None else "given"
    met = list(contests(items, pairs, order, settings.seed))
    settled = {place: found for place, contest in enumerate(met) if (found := _settled(contest, contestants))}
    open_places = [place for place in range(len(met)) if place not in settled]
    decide = by_rubric if settings.judge is not None else by_reward
    decided, costs = decide(settings, [met[place] for place in open_places], contestants, journal)
    every = settled | dict(zip(open_places, decided, strict=True))
    return both_or_neither([every[place] for place in range(len(met))]), costs


def _settled(contest: Contest, contestants: Contestants) -> Judged | None:
    first, second = (contestants[name][contest.item.name] for name in (contest.first, contest.second))
    for name, answer in ((contest.first, first), (contest.second, second)):
        if answer.error is not None:
            return Judged(contest, "none", None, f"no reply of {name}")
    return Judged(contest, EQUAL_REPLIES, "tie") if first.text == second.text else None


def by_rubric(
    settings: JudgeSettings, met: Sequence[Contest], contestants: Contestants, journal: Journal
) -> tuple[list[Judged], dict[str, Any]]:
    """What the chat model says of each contest."""
    assert settings.judge is not None, "settings name a judge"
    asked = Asked("judge", settings.judge)
    rubrics = {domain: rubric_of(settings, domain) for domain in DOMAINS}
    prompts = [
        ask(
            rubrics[contest.item.prompt.domain or DOMAINS[0]],
            contest.item.prompt,
            *(contestants[name][contest.item.name].text for name in (contest.first, contest.second)),
        )
        for contest in met
    ]
    sampling = Sampling(temperature=0, max_new_tokens=settings.verdict_tokens, seed=settings.seed)
    answers = asked.answers(prompts, sampling, journal)
    judged = [_read(contest, answer) for contest, answer in zip(met, answers, strict=True)]
    return judged, {"judge": {"verdicts": len(answers), **cost(asked, answers)}}


def _read(contest: Contest, answer: Answer) -> Judged:
    if answer.error is not None:
        return Judged(contest, "judge", None, f"the judge failed: {answer.error}")
    if answer.is_cut_short:
        return Judged(contest, "judge", None, CUT_SHORT)
    verdict = read_verdict(answer.text)
    return Judged(contest, "judge", verdict, NO_VERDICT if verdict is None else None)


def by_reward(
    settings: JudgeSettings, met: Sequence[Contest], contestants: Contestants, journal: Journal
) -> tuple[list[Judged], dict[str, Any]]:
    """Which reply of each contest the reward model of its domain scores higher."""
    assert settings.helpfulness_reward is not None, "settings name a reward model"
    rewards = rewards_by_domain(settings.helpfulness_reward, settings.safety_reward)
    dialogs = [
        contest.item.prompt.with_reply(contestants[name][contest.item.name].text)
        for contest in met
        for name in (contest.first, contest.second)
    ]
    scores = scores_by_domain(rewards, dialogs, journal)
    judged = []
    for contest, first, second in zip(met, scores[::2], scores[1::2], strict=True):
        verdict = verdict_of(first, second, settings.tie_margin)
        judge = rewards[contest.item.prompt.domain or DOMAINS[0]].name
        judged.append(Judged(contest, judge, verdict, NO_SCORE if verdict is None else None))
    return judged, {}


def verdict_of(first: float | None, second: float | None, margin: float) -> Verdict | None:
    """What two scores say; None where one is unknown."""
    if first is None or second is None:
        return None
    return "tie" if abs(first - second) <= margin else "A" if first > second else "B"


def rubric_of(settings: JudgeSettings, domain: Domain) -> str:
    """The rubric for prompts of a domain. Raises DataError for a file that is none."""
    own = settings.safety_rubric if domain == "safety" and settings.safety_rubric else settings.rubric
    return read_rubric(own) if own else built_in(domain)


def _samples(judged: Sequence[Judged], contestants: Contestants) -> list[dict[str, Any]]:
    """Some contests with their replies, spread over all."""
    rows = []
    for one in judged[:: max(1, len(judged) // SAMPLES)]:
        contest = one.contest
        named = {f"reply of {name}": contestants[name][contest.item.name].text for name in (contest.first, contest.second)}
        outcome = {"A": contest.first, "B": contest.second, "tie": "neither"}.get(one.verdict or "", one.problem)
        answer = "\n\n".join(f"{name}: {text}" for name, text in named.items())
        rows.append({"prompt": contest.item.messages(), "answer": answer, "better": outcome})
    return rows
