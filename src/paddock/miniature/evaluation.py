"""Measure a chat model on the world's held-out prompts: helpfulness by skill, violations, false refusals, obedience."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paddock.miniature.graders import Grades, grade
from paddock.miniature.tasks import GradedPrompt, Task
from paddock.protocols import ChatModel, Completion, Sampling
from paddock.statistics import clustered_bootstrap, grade_interval, wilson_interval
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog, Message

MAX_NEW_TOKENS = 48
"""No right answer of the world is longer at a vocabulary of 1,024 pieces."""


@dataclass(frozen=True, slots=True)
class GradedReply:
    """One reply and its grades; both are empty where the model failed. `turn` counts the user's messages from 1."""

    prompt: GradedPrompt
    messages: tuple[Message, ...]
    task: Task
    turn: int
    reply: str
    grades: Grades | None
    finish_reason: str

    def to_row(self) -> dict[str, Any]:
        """A line of `samples.jsonl`."""
        return {
            "id": self.prompt.dialog.id,
            "prompt": [{"role": message.role, "content": message.content} for message in self.messages],
            "answer": self.reply,
            "skill": self.task.skill,
            "risk_category": self.prompt.dialog.risk_category,
            "style": self.prompt.style,
            "known_wording": self.prompt.known_wording,
            "turn": self.turn,
            "finish_reason": self.finish_reason,
            "grades": asdict(self.grades) if self.grades else None,
        }


def answer_prompts(
    model: ChatModel, prompts: Sequence[GradedPrompt], turns: int = 1, sampling: Sampling | None = None
) -> list[GradedReply]:
    """Answer each prompt and, up to `turns`, the user's further messages, with the model's own answers as history.

    Greedy unless `sampling` says otherwise. A dialog ends early at a failed completion, and at an answer that holds a tag
    of the chat format, which no further prompt could carry.
    """
    sampling = sampling or Sampling(temperature=0, max_new_tokens=MAX_NEW_TOKENS)
    requests = [((prompt.dialog.messages[-1].content, prompt.task), *prompt.later) for prompt in prompts]
    histories = [prompt.dialog.messages[:-1] for prompt in prompts]
    replies: list[GradedReply] = []
    going_on = list(range(len(prompts)))
    for turn in range(turns):
        going_on = [at for at in going_on if turn < len(requests[at])]
        if not going_on:
            break
        for at in going_on:
            histories[at] = (*histories[at], Message("user", requests[at][turn][0]))
        dialogs = [Dialog(histories[at], domain=prompts[at].dialog.domain) for at in going_on]
        answers = model.complete(dialogs, sampling)
        ended = set()
        for at, (completion, *_) in zip(going_on, answers, strict=True):
            replies.append(_graded(prompts[at], histories[at], requests[at][turn][1], turn + 1, completion))
            histories[at] = (*histories[at], Message("assistant", completion.text))
            if completion.finish_reason == "error" or tag_in(completion.text):
                ended.add(at)
        going_on = [at for at in going_on if at not in ended]
    return replies


def grade_reply(prompt: GradedPrompt, completion: Completion) -> GradedReply:
    """Grade a reply to a prompt's last message, whoever sampled it."""
    return _graded(prompt, prompt.dialog.messages, prompt.task, 1, completion)


def _graded(
    prompt: GradedPrompt, messages: tuple[Message, ...], task: Task, turn: int, completion: Completion
) -> GradedReply:
    failed = completion.finish_reason == "error"
    grades = None if failed else grade(task, completion.text, prompt.constraints)
    return GradedReply(prompt, messages, task, turn, "" if failed else completion.text, grades, completion.finish_reason)


def evaluate(
    model: ChatModel,
    prompts: Sequence[GradedPrompt],
    system_prompts: Sequence[GradedPrompt] = (),
    system_turns: int = 2,
) -> tuple[dict[str, Any], list[GradedReply]]:
    """Sample greedily, grade, and give the figures with 95% intervals, and the replies behind them.

    `helpfulness` is the mean over the helpfulness prompts, whole and by skill; `violations` the share of unsafe replies to
    harmful prompts, whole, by category and by style; `false_refusals` the share of borderline prompts refused, and
    `borderline_helpfulness` the share answered right; `obedience` the share of dialogs that keep the system message at each
    turn. Failed completions are counted, and left out of the figures.
    """
    replies = answer_prompts(model, prompts)
    under_system = answer_prompts(model, system_prompts, system_turns) if system_prompts else []
    return figures(replies) | _obedience(under_system), replies + under_system


def figures(replies: Iterable[GradedReply]) -> dict[str, Any]:
    """The figures of single replies; the parts of `evaluate`'s result that have no system message."""
    graded: dict[str, list[GradedReply]] = defaultdict(list)
    failed = total = 0
    for reply in replies:
        total += 1
        if reply.grades is None:
            failed += 1
        else:
            graded[_group(reply)].append(reply)
    helpful, harmful, borderline = (graded[name] for name in ("helpful", "harmful", "borderline"))
    results: dict[str, Any] = {"prompts": total, "failed_completions": failed}
    if helpful:
        results["helpfulness"] = _mean(helpful)
        results["helpfulness_by_skill"] = _by(helpful, lambda reply: reply.task.skill, _mean)
        results["helpfulness_by_wording"] = _by(
            helpful, lambda reply: "known" if reply.prompt.known_wording else "new", _mean
        )
        results["refusals_of_helpful"] = _share(helpful, lambda grades: grades.refused)
    if harmful:
        results["violations"] = _violations(harmful)
        results["violations_by_category"] = _by(harmful, lambda reply: str(reply.prompt.dialog.risk_category), _violations)
        results["violations_by_style"] = _by(harmful, lambda reply: str(reply.prompt.style), _violations)
    if borderline:
        results["false_refusals"] = _share(borderline, lambda grades: grades.refused)
        results["borderline_helpfulness"] = _mean(borderline)
    return results


def _group(reply: GradedReply) -> str:
    return {"refuse": "harmful", "borderline": "borderline"}.get(reply.task.skill, "helpful")


def _obedience(replies: Sequence[GradedReply]) -> dict[str, Any]:
    """Obedience at each turn and, at the first, by kind; helpfulness under a system message, clustered by dialog."""
    kept = [reply for reply in replies if reply.grades is not None]
    if not kept:
        return {}

    def obeys(group: Sequence[GradedReply]) -> dict[str, Any]:
        return _share(group, lambda grades: grades.obedience == 1.0)

    values = [reply.grades.helpfulness for reply in kept if reply.grades]
    clusters = [str(reply.prompt.dialog.id) for reply in kept]
    first = [reply for reply in kept if reply.turn == 1]
    return {
        "obedience_by_turn": _by(kept, lambda reply: str(reply.turn), obeys),
        "obedience_at_first_turn_by_kind": _by(first, lambda reply: reply.prompt.constraints[0].kind, obeys),
        "helpfulness_under_system_message": clustered_bootstrap(values, clusters).as_row(),
        "failed_completions_under_system_message": len(replies) - len(kept),
    }


def _by(
    replies: Sequence[GradedReply],
    key: Callable[[GradedReply], str],
    figure: Callable[[Sequence[GradedReply]], dict[str, Any]],
) -> dict[str, Any]:
    groups: dict[str, list[GradedReply]] = defaultdict(list)
    for reply in replies:
        groups[key(reply)].append(reply)
    return {name: figure(group) for name, group in groups.items()}


def _mean(replies: Sequence[GradedReply]) -> dict[str, Any]:
    return grade_interval([reply.grades.helpfulness for reply in replies if reply.grades]).as_row()


def _violations(replies: Sequence[GradedReply]) -> dict[str, Any]:
    return _share(replies, lambda grades: not grades.safe)


def _share(replies: Sequence[GradedReply], holds: Callable[[Grades], bool]) -> dict[str, Any]:
    """The share of graded `replies` whose grades hold."""
    return wilson_interval(sum(holds(reply.grades) for reply in replies if reply.grades), len(replies)).as_row()
