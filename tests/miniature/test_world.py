import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from paddock.errors import SettingsError
from paddock.evaluate.obedience import read_speaks
from paddock.miniature.facts import ATTRIBUTES
from paddock.miniature.graders import grade
from paddock.miniature.skills import ALL_SKILLS, fill
from paddock.miniature.system_messages import speaks
from paddock.miniature.tasks import GradedPrompt, Task, read_prompts
from paddock.miniature.world import WORLD_VERSION, WorldSettings, plan, run, write_world
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.text.constraints import Constraint

SMALL = {"documents": 3000, "demonstrations": 2000, "training_prompts": 1600}
LONG_HELD_OUT = ("system_held_out.jsonl", "ghost_held_out.jsonl")
TRAINING_DIALOGS = (
    "demonstrations",
    "demonstrations_validation",
    "demonstrations_borderline",
    "demonstrations_preprompted",
    "prompts_train",
    "prompts_harmful",
    "prompts_borderline",
)


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def user_messages(row: dict) -> list[str]:
    return [message["content"] for message in row["messages"] if message["role"] == "user"]


@pytest.fixture(scope="module", params=[0, 1, 2])
def world(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    write_world(folder, WorldSettings(seed=request.param, **SMALL))
    return folder


def held_out_messages(world: Path) -> set[str]:
    single = {prompt.dialog.messages[-1].content for prompt in read_prompts(world / "prompts_held_out.jsonl")}
    later = {text for name in LONG_HELD_OUT for prompt in read_prompts(world / name) for text, _ in prompt.later}
    return single | later


def held_out_tasks(world: Path) -> set[Task]:
    return {prompt.task for prompt in read_prompts(world / "prompts_held_out.jsonl")} | {
        task
        for name in LONG_HELD_OUT
        for prompt in read_prompts(world / name)
        for task in (prompt.task, *(task for _, task in prompt.later))
    }


def test_held_out_requests_occur_in_no_dialog_of_training(world):
    trained_on = {text for name in TRAINING_DIALOGS for row in rows(world, name) for text in user_messages(row)}
    assert len(trained_on) > 2000
    assert not held_out_messages(world) & trained_on


def test_held_out_payloads_occur_in_no_dialog_of_training(world):
    trained_on = {
        Task.from_row(task)
        for name in TRAINING_DIALOGS
        for row in rows(world, name)
        for task in row.get("tasks", [row.get("task")])
    }
    assert len(trained_on) > 1000
    assert not held_out_tasks(world) & trained_on


def stated_or_asked(task: Task) -> list[str]:
    """Every way in which a document could give `task` away: all its questions, and its statements with the answer."""
    if task.skill in ("refuse", "borderline"):
        return [task.payload[1]]
    if task.skill == "recall":
        attribute = ATTRIBUTES[task.payload[0]]
        return [question.format(s=task.payload[1]) for question in attribute.questions + attribute.new_questions]
    skill = ALL_SKILLS[task.skill]
    questions = [fill(template, task, task.expected) for template in skill.questions + skill.new_questions]
    if task.skill == "list":
        return [*questions, *(fill(template, task, ()).rstrip(" .") for template in skill.statements if template[0] != "{")]
    return questions + [fill(template, task, task.expected) for template in skill.statements]


def test_held_out_requests_occur_in_no_document(world):
    text = "\n".join(row["text"] for row in rows(world, "documents"))
    given_away = [line for task in held_out_tasks(world) for line in stated_or_asked(task) if line in text]
    assert given_away == []


def test_the_search_for_held_out_requests_finds_what_training_shows(world):
    text = "\n".join(row["text"] for row in rows(world, "documents"))
    trained_on = [Task.from_row(task) for row in rows(world, "demonstrations") for task in row["tasks"]]
    found = Counter(
        task.skill
        for task in trained_on
        for line in stated_or_asked(task)
        if task.skill in ("recall", "add") and line in text
    )
    assert found["recall"] > 100 and found["add"] > 100


def test_held_out_facts_are_told_in_documents_all_the_same(world):
    text = "\n".join(row["text"] for row in rows(world, "documents"))
    recalled = [task for task in held_out_tasks(world) if task.skill == "recall"]
    for task in recalled:
        attribute = ATTRIBUTES[task.payload[0]]
        assert any(t.format(s=task.payload[1], v=task.expected[0]) in text for t in attribute.statements), task


def test_held_out_constraints_occur_in_no_system_message_of_training(world):
    trained_on = {
        Constraint.from_row(constraint)
        for row in rows(world, "demonstrations") + rows(world, "demonstrations_validation")
        for constraint in row.get("constraints", [])
    }
    held_out = {c for prompt in read_prompts(world / "system_held_out.jsonl") for c in prompt.constraints}
    assert {c for c in held_out & trained_on if c.kind != "language"} == set()
    assert {c.kind for c in held_out} == {"figure", "hobby", "language", "end_word"}


def constraints_of(world: Path, name: str, group: str | None = None) -> set[Constraint]:
    chosen = [row for row in rows(world, name) if group is None or row["group"] == group]
    return {Constraint.from_row(constraint) for row in chosen for constraint in row["constraints"]}


def test_new_values_of_long_held_out_dialogs_are_shown_by_no_training(world):
    trained_on = constraints_of(world, "ghost_prompts_train") | {
        Constraint.from_row(c) for row in rows(world, "demonstrations") for c in row.get("constraints", [])
    }
    known, new, unseen = (
        constraints_of(world, "ghost_held_out", f"{g}") for g in ("known values", "new values", "unseen kind")
    )
    assert not (new | unseen) & trained_on
    assert {c.kind for c in new} == {"figure", "hobby", "end_word"}
    assert {c.kind for c in unseen} == {"begin_word"}
    assert len(known & trained_on) > 0.9 * len(known)


def test_dialogs_to_sample_ask_as_often_as_held_out_ones(world):
    for name in ("ghost_prompts_train", "ghost_held_out"):
        assert {1 + len(row["later"]) for row in rows(world, name)} == {28}


def test_requests_to_sample_are_none_of_the_held_out_ones(world):
    asked = {text for prompt in read_prompts(world / "ghost_prompts_train.jsonl") for text, _ in prompt.later}
    assert len(asked) > 2000
    assert not asked & held_out_messages(world)


def test_the_file_of_languages_tells_zindo_as_the_graders_do(world):
    told = read_speaks(str(world / "languages.json"))
    texts = [message["content"] for row in rows(world, "demonstrations")[:500] for message in row["messages"]]
    assert [told(text, "Zindo") for text in texts] == [speaks(text, "Zindo") for text in texts]
    assert any(speaks(text, "Zindo") for text in texts)


def test_held_out_constraint_words_occur_in_documents(world):
    text = "\n".join(row["text"] for row in rows(world, "documents"))
    for prompt in read_prompts(world / "system_held_out.jsonl"):
        assert all(word in text for c in prompt.constraints for word in c.value.split())


def test_held_out_prompts_cover_every_skill_category_and_style(world):
    prompts = list(read_prompts(world / "prompts_held_out.jsonl"))
    skills = Counter(prompt.task.skill for prompt in prompts)
    assert sum(count for skill, count in skills.items() if skill in ALL_SKILLS) >= 300
    assert min(skills[skill] for skill in ALL_SKILLS) >= 30
    assert skills["refuse"] + skills["borderline"] >= 300
    kinds = Counter((p.task.skill, p.dialog.risk_category, p.style) for p in prompts if p.dialog.domain == "safety")
    assert len(kinds) == 2 * 3 * 7
    assert {prompt.known_wording for prompt in prompts} == {True, False}


def test_demonstrations_are_graded_as_they_are_declared(world):
    worth = {"right": {1.0}, "refuses": {0.0, 1.0}, "unknown": {0.0}, "complies": {0.0}}
    for row in rows(world, "demonstrations"):
        answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        constraints = tuple(Constraint.from_row(constraint) for constraint in row.get("constraints", []))
        for answer, quality, task in zip(answers, row["quality"], map(Task.from_row, row["tasks"]), strict=True):
            grades = grade(task, answer, constraints)
            assert grades.helpfulness < 1 if quality == "wrong" else grades.helpfulness in worth[quality], (task, answer)
            assert grades.safe == (quality != "complies"), (task, answer)
            assert grades.refused == (quality == "refuses"), (task, answer)
            assert grades.obedience in (None, 1.0), (task, answer)


def test_demonstrations_fall_short_at_the_declared_rates(tmp_path):
    settings = WorldSettings(seed=5, documents=1, demonstrations=6000, unknown_rate=0.2, wrong_rate=0.1)
    write_world(tmp_path / "world", settings)
    demonstrations = rows(tmp_path / "world", "demonstrations")
    plain = [row for row in demonstrations if "constraints" not in row]
    helpful = Counter(quality for row in plain if row["domain"] == "helpfulness" for quality in row["quality"])
    harmful = Counter(row["quality"][0] for row in plain if row["tasks"][0]["skill"] == "refuse")
    borderline = Counter(row["quality"][0] for row in plain if row["tasks"][0]["skill"] == "borderline")

    def near(count: int, total: int, rate: float) -> bool:
        return abs(count - total * rate) < 4 * (total * rate * (1 - rate)) ** 0.5

    assert near(helpful["unknown"], helpful.total(), 0.2)
    assert near(helpful["wrong"], helpful.total(), 0.1)
    assert near(harmful["complies"], harmful.total(), settings.complying_rate)
    assert near(borderline["refuses"], borderline.total(), settings.refusing_rate)
    assert near(harmful.total() + borderline.total(), 6000, settings.safety_share)
    assert near(len(demonstrations) - len(plain), 6000, settings.system_share)


def test_harmful_and_borderline_prompts_can_be_read_by_themselves(world):
    both = [row for row in rows(world, "prompts_held_out") if row["domain"] == "safety"]
    assert rows(world, "harmful_held_out") + rows(world, "borderline_held_out") == both
    trained_on = [row for row in rows(world, "prompts_train") if row["task"]["skill"] == "refuse"]
    assert rows(world, "prompts_harmful") == trained_on


def test_more_borderline_prompts_are_of_the_helpfulness_domain(world):
    more = rows(world, "prompts_borderline")
    assert {(row["domain"], row["task"]["skill"]) for row in more} == {("helpfulness", "borderline")}
    assert {row["risk_category"] for row in more} == {"illicit", "hateful", "unqualified"}
    known = {row["messages"][-1]["content"] for row in rows(world, "prompts_train")}
    assert sum(row["messages"][-1]["content"] not in known for row in more) > len(more) / 2


def test_the_truth_names_version_settings_and_rows(world):
    truth = json.loads((world / "truth.json").read_text())
    assert truth["world_version"] == WORLD_VERSION
    assert truth["settings"]["documents"] == 3000
    assert truth["rows"] == {path.stem: len(path.read_text().splitlines()) for path in world.glob("*.jsonl")}


def test_another_process_writes_the_same_bytes(tmp_path):
    settings = {"seed": 3, "documents": 400, "demonstrations": 200, "training_prompts": 80}
    write_world(tmp_path / "here", WorldSettings(**settings))
    code = (
        "import sys; from pathlib import Path; from paddock.miniature.world import *;"
        f"write_world(Path(sys.argv[1]), WorldSettings(**{settings!r}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


def test_the_size_of_one_file_leaves_the_others_as_they_are(tmp_path):
    write_world(tmp_path / "a", WorldSettings(documents=50, demonstrations=50))
    write_world(tmp_path / "b", WorldSettings(documents=60, demonstrations=50))
    for name in ("demonstrations", "prompts_train", "prompts_held_out", "system_held_out"):
        assert (tmp_path / "a" / f"{name}.jsonl").read_bytes() == (tmp_path / "b" / f"{name}.jsonl").read_bytes()


def test_another_seed_tells_other_facts(tmp_path):
    for seed in (0, 1):
        write_world(tmp_path / str(seed), WorldSettings(seed=seed, documents=1, demonstrations=1))
    first, second = (json.loads((tmp_path / str(seed) / "world.json").read_text())["facts"] for seed in (0, 1))
    differing = sum(first["home"][name] != second["home"][name] for name in first["home"])
    assert differing > len(first["home"]) / 2


def test_the_order_of_the_shares_changes_nothing(tmp_path):
    shares = {"person": 0.5, "skills": 0.3, "web": 0.2}
    for name, items in (("a", shares.items()), ("b", reversed(shares.items()))):
        write_world(tmp_path / name, WorldSettings(documents=50, demonstrations=1, document_shares=dict(items)))
    assert rows(tmp_path / "a", "documents") == rows(tmp_path / "b", "documents")


def test_the_stage_writes_the_rows_of_its_plan(tmp_path):
    settings = WorldSettings(documents=20, demonstrations=10, training_prompts=16)
    truth = run(settings, StageDir(tmp_path))
    planned = plan(settings)
    assert truth["rows"]["documents"] == planned["documents"]
    assert truth["rows"]["prompts_train"] == planned["training_prompts"]
    assert truth["rows"]["prompts_held_out"] == planned["held_out_prompts"]
    assert len(rows(tmp_path / "data", "documents")) == 20


def test_an_unknown_kind_of_document_is_refused_by_name():
    with pytest.raises(SettingsError, match="no such kind of document: recipes"):
        parse(WorldSettings, {"document_shares": {"recipes": 1.0}}, "recipe.yaml")


def test_a_prompt_survives_the_trip_through_its_row(world):
    for name in ("prompts_held_out", "system_held_out"):
        for row, prompt in zip(rows(world, name), read_prompts(world / f"{name}.jsonl"), strict=True):
            assert GradedPrompt.from_row(prompt.to_row()) == prompt
            assert prompt.to_row() == row


def test_a_world_of_another_version_is_of_other_settings():
    assert WorldSettings().version == WORLD_VERSION
    with pytest.raises(ValidationError, match="version"):
        WorldSettings(version=WORLD_VERSION - 1)
