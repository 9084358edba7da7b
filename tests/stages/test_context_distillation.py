"""Context distillation: what is sampled under which preprompt, what is kept, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.catalog import find_refusals
from paddock.errors import DataError, SettingsError
from paddock.protocols import Completion
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.safety.preprompts import Preprompts
from paddock.settings import parse
from paddock.stages import context_distillation
from paddock.stages.context_distillation import ContextDistillationSettings, Distiller, plan, run
from paddock.stages.distilled import Answer, choose, kept_by_score, reward_rows, side_effects
from paddock.text.dialog import Dialog, Message
from paddock.text.readers import read_dialogs

BASE = {"data": ["unused"], "model": "unused", "reward": "unused"}
PREPROMPTS = Preprompts(generic=("GENERIC",), templates={"illicit": "TEMPLATE"})
PROMPT = Dialog((Message("user", "steal it"),), "p", "safety", "illicit")


def settings(**changes: object) -> ContextDistillationSettings:
    return parse(ContextDistillationSettings, {**BASE, **changes}, "test")


class Replier:
    """Replies by the system message, where there is one; keeps the prompts that it saw."""

    def __init__(self, bare: Completion, generic: Completion, template: Completion) -> None:
        self.said, self.prompts = {"GENERIC": generic, "TEMPLATE": template, None: bare}, []

    def complete(self, prompts, sampling):
        self.prompts += prompts
        systems = [prompt.messages[0].content if prompt.messages[0].role == "system" else None for prompt in prompts]
        return [[self.said[system]] for system in systems]


class Reward:
    """The score of an answer is the number that it ends with; keeps the dialogs that it saw."""

    def __init__(self) -> None:
        self.dialogs = []

    def score(self, dialogs):
        self.dialogs += dialogs
        words = [dialog.messages[-1].content.split()[-1] for dialog in dialogs]
        return [None if word == "fails" else float(word) for word in words]


def sample(*replies: str | Completion, prompt: Dialog = PROMPT, **changes: object):
    completions = [reply if isinstance(reply, Completion) else Completion(reply) for reply in replies]
    model, reward = Replier(*completions), Reward()
    (answers,) = Distiller(settings(**changes), PREPROMPTS, model, reward).sample([prompt], 0)
    return answers, model, reward


def test_a_prompt_is_answered_bare_and_under_each_kind_of_preprompt():
    answers, model, _ = sample("yes 0", "no 1", "no 2")
    assert {kind: answer.text for kind, answer in answers.items()} == {
        "original": "yes 0",
        "generic": "no 1",
        "template": "no 2",
    }
    assert [[m.content for m in p.messages] for p in model.prompts] == [
        ["steal it"],
        ["GENERIC", "steal it"],
        ["TEMPLATE", "steal it"],
    ]


def test_answers_are_scored_without_the_preprompt():
    _, _, reward = sample("yes 0", "no 1", "no 2")
    assert {dialog.messages[:-1] for dialog in reward.dialogs} == {PROMPT.messages}


def test_only_the_kinds_asked_for_are_sampled():
    answers, model, _ = sample("yes 0", "no 1", "no 2", preprompts=["template"])
    assert list(answers) == ["original", "template"]
    assert len(model.prompts) == 2


def test_a_category_without_a_template_has_the_generic_answer_alone():
    answers, _, _ = sample("yes 0", "no 1", "no 2", prompt=Dialog(PROMPT.messages, risk_category="other"))
    assert list(answers) == ["original", "generic"]


@pytest.mark.parametrize(
    ("replies", "kind", "fate"),
    [
        (("yes 0", "no 1", "no 2"), "template", "kept"),
        (("yes 0", "no 3", "no 2"), "generic", "kept"),
        (("yes 2", "no 1", "no 2"), "template", "not above the original"),
        (("yes 0", Completion("no 5", finish_reason="length"), "no 1"), "template", "kept"),
        (("yes 0", "no fails", Completion(" ")), None, "empty, no score"),
        ((Completion("", finish_reason="error", error="full"), "no 1", "no 2"), None, "original: no room"),
        (("[INST]", "no 1", "no 2"), None, "original: a tag of the chat format"),
        ((Completion("yes 0", finish_reason="length"), "no 1", "no 0"), "generic", "kept"),
    ],
)
def test_the_better_answer_is_kept_only_where_it_scores_above_the_original(replies, kind, fate):
    answers, _, _ = sample(*replies)
    chosen = choose(PROMPT, answers)
    assert (chosen.kind, chosen.fate) == (kind, fate)


def test_what_is_learnt_from_is_the_bare_prompt_with_the_distilled_answer():
    answers, _, _ = sample("yes 0", "no 1", "no 2")
    assert choose(PROMPT, answers).to_dialog_row() == {
        "id": "p",
        "domain": "safety",
        "risk_category": "illicit",
        "messages": [{"role": "user", "content": "steal it"}, {"role": "assistant", "content": "no 2"}],
    }


def test_a_row_has_both_answers_and_scores():
    row = choose(PROMPT, sample("yes 0", "no 1", "no 2")[0]).to_row()
    assert (row["original"], row["original_score"], row["distilled"], row["distilled_score"]) == ("yes 0", 0.0, "no 2", 2.0)
    assert (row["preprompt"], row["kept"]) == ("template", True)


def made(original: float, generic: float) -> dict[str, Answer]:
    return {"original": Answer("a", original, None), "generic": Answer("b", generic, None)}


def test_rewards_are_means_of_sigmoids_with_quantiles():
    first, second = reward_rows([made(0.0, 50.0), made(-50.0, 50.0), {"original": Answer("", None, "empty")}])
    assert (first["answer"], first["estimate"], first["n"], first["no_score"]) == ("original", 0.25, 2, 1)
    assert (second["estimate"], second["quantiles"]["0.5"]) == (pytest.approx(1.0), pytest.approx(1.0))


def test_what_is_kept_is_told_by_the_originals_score():
    some = [choose(PROMPT, answers) for answers in (made(-50.0, 0.0), made(-50.0, -60.0), made(50.0, 0.0))]
    low, high = kept_by_score(some)
    assert (low["from"], low["kept"]["estimate"], low["kept"]["n"]) == (0.0, 0.5, 2)
    assert (high["to"], high["kept"]["estimate"]) == (1.0, 0.0)
    assert high["gain"]["estimate"] == pytest.approx(-0.5)


def test_side_effects_are_refusals_by_kind_and_failures_are_undecided():
    prompts = [Dialog((Message("user", "crack a nut"),))] * 2
    sampled = [
        {"original": Answer("With a stone.", 0.0, None), "generic": Answer("I can not help with that.", 0.0, None)},
        {"original": Answer("", None, "empty"), "generic": Answer("With a stone.", 0.0, None)},
    ]
    original, generic = side_effects(prompts, sampled, find_refusals("miniature"))
    assert (original["estimate"], original["n"], original["undecided"]) == (0.0, 1, 1)
    assert (generic["estimate"], generic["n"], generic["undecided"]) == (0.5, 2, 0)


def test_helpful_prompts_without_a_category_are_tried_under_a_template_too():
    model = Replier(Completion("a 0"), Completion("b 0"), Completion("c 0"))
    helpful = Dialog((Message("user", "crack a nut"),))
    (answers,) = Distiller(settings(), PREPROMPTS, model, Reward()).sample_others([helpful], 0)
    assert list(answers) == ["original", "generic", "template"]


def test_a_run_distils_adversarial_prompts_alone(context_distillation_values: dict, tmp_path: Path):
    stage_dir = StageDir(tmp_path)
    results = run(settings(**context_distillation_values), stage_dir, find_refusals("miniature"))
    rows = read_json_lines(stage_dir.path / "distilled.jsonl")
    assert results["prompts"] == len(rows) == 27
    assert results["not_adversarial"] == 53
    kept = [row for row in rows if row["kept"]]
    assert results["kept"] == len(kept) > 0
    assert all(row["distilled_score"] > row["original_score"] for row in kept)
    dialogs = list(read_dialogs([stage_dir.path / "dialogs.jsonl"]))
    assert [dialog.messages[-1].content for dialog in dialogs] == [row["distilled"] for row in kept]
    assert {dialog.messages[0].role for dialog in dialogs} == {"user"}
    assert [row["answer"] for row in results["side_effects"]] == ["original", "generic", "template"]


def test_a_chunk_that_lies_there_is_not_sampled_again(context_distillation_values: dict, tmp_path: Path, monkeypatch):
    stage_dir, wanted = StageDir(tmp_path), settings(**context_distillation_values)
    first = run(wanted, stage_dir, find_refusals("miniature"))
    monkeypatch.setattr(Distiller, "_sample", None)
    assert run(wanted, stage_dir, find_refusals("miniature")) == first


def test_a_run_that_finds_nothing_better_says_so(context_distillation_values: dict, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(context_distillation, "choose", lambda prompt, answers: choose(prompt, made(1.0, 0.0)))
    with pytest.raises(DataError, match=r"of 27 prompts none got a better answer: {'not above the original': 27}"):
        run(settings(**context_distillation_values), StageDir(tmp_path), None)


def test_prompts_without_the_tag_are_refused_with_the_mend(tmp_path: Path):
    write_json_lines(tmp_path / "p.jsonl", [{"prompt": "hi"}])
    with pytest.raises(DataError, match=r"none of 1 prompts is of domain safety.*domain: safety"):
        plan(settings(data=[str(tmp_path / "p.jsonl")]))


def test_prompts_without_a_template_are_counted_and_refused_where_nothing_else_is_tried(tmp_path: Path, capsys):
    rows = [{"prompt": "hi", "domain": "safety", "risk_category": name} for name in ("illicit", "ilicit", "ilicit")]
    write_json_lines(tmp_path / "p.jsonl", rows)
    data = [str(tmp_path / "p.jsonl")]
    assert plan(settings(data=data))["without_template"] == 2
    assert "2 prompts are of a risk category without a template: ilicit 2" in capsys.readouterr().err
    assert plan(settings(data=data, preprompts=["generic"]))["without_template"] == 0
    write_json_lines(tmp_path / "p.jsonl", rows[1:])
    with pytest.raises(SettingsError, match=r"none of 2 prompts has one\. Templates there are: illicit.*categories: ilicit"):
        plan(settings(data=data, preprompts=["template"]))


def test_a_plan_counts_answers_of_every_kind(context_distillation_values: dict):
    planned = plan(settings(**context_distillation_values))
    assert (planned["prompts"], planned["others"], planned["answers"]) == (27, 6, 99)


def test_impossible_settings_are_refused():
    with pytest.raises(SettingsError, match="say in refusals who tells them"):
        settings(others=["x"])
    with pytest.raises(SettingsError, match="named twice"):
        settings(preprompts=["generic", "generic"])
    with pytest.raises(SettingsError, match="refusals is 'somebody'"):
        find_refusals("somebody")
