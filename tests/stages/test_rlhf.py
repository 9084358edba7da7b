"""The versions: in which order their parts are made, from what, and how they go on or end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paddock import catalog
from paddock.catalog import find_annotators
from paddock.errors import DataError, PaddockError, SettingsError
from paddock.recipe import build_recipe, run_step
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages import regression
from paddock.stages.preferences import Annotators
from paddock.stages.rlhf import RlhfSettings, Versions, plan, run
from paddock.text.comparisons import read_comparisons
from paddock.text.dialog import Preference
from paddock.text.readers import read_dialogs

PARTS = ("rejection", "preferences", "reward-helpfulness", "reward-safety", "check")


def choose_shorter(pairs_file: Path) -> list[Preference]:
    preferences = []
    for pair in read_comparisons(pairs_file):
        chosen, rejected = sorted((pair.reply_a, pair.reply_b), key=lambda reply: (len(reply), reply))
        preferences.append(Preference(pair.prompt.messages, chosen, rejected, "better", pair.prompt.domain))
    return preferences


@pytest.fixture(scope="module")
def values(rlhf_values: dict, prompts: Path) -> dict:
    """Settings of two versions in a few seconds, with people to ask."""
    return {**rlhf_values, "data": [str(prompts)], "annotators": "files", "versions": 2}


def settings(values: dict, **changes: object) -> RlhfSettings:
    return parse(RlhfSettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def made(values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "rlhf")
    return stage_dir, run(settings(values), stage_dir, Annotators(choose_shorter))


def stage_settings(made: tuple[StageDir, dict], part: str) -> dict:
    return json.loads((made[0].path / part / "settings.json").read_text())["settings"]


def test_every_part_of_every_version_is_a_complete_stage(made: tuple[StageDir, dict]) -> None:
    for version in ("v1", "v2"):
        assert {path.name for path in (made[0].path / version).iterdir()} == set(PARTS)
        assert all((made[0].path / version / part / "stage.json").exists() for part in PARTS)


def test_each_version_is_sampled_by_the_one_before_and_fine_tuned_from_the_first_checkpoint(
    made: tuple[StageDir, dict], values: dict
) -> None:
    first, second = (stage_settings(made, f"v{n}/rejection") for n in (1, 2))
    assert first["model"] == first["base"] == second["base"] == values["model"]
    assert second["model"] == "${run}/rlhf/v1/rejection/model"


def test_each_version_is_ranked_by_the_newest_reward_models(made: tuple[StageDir, dict], values: dict) -> None:
    first, second = (stage_settings(made, f"v{n}/rejection") for n in (1, 2))
    assert first["helpfulness_reward"] == values["helpfulness_reward"]
    assert second["helpfulness_reward"] == "${run}/rlhf/v1/reward-helpfulness/model"
    assert second["safety_reward"] == "${run}/rlhf/v1/reward-safety/model"


def test_the_fifth_version_learns_from_the_best_of_all_before_it(values: dict, tmp_path: Path) -> None:
    earlier = Versions(settings(values, versions=5), tmp_path).rejection(5).earlier
    assert earlier == tuple(str(tmp_path / f"v{n}" / "rejection" / "best.jsonl") for n in (1, 2, 3, 4))


def test_the_second_versions_pool_holds_the_firsts_best(made: tuple[StageDir, dict]) -> None:
    best = {json.dumps(row["messages"]) for row in read_json_lines(made[0].path / "v1/rejection/best.jsonl")}
    selected = read_json_lines(made[0].path / "v2/rejection/selected.jsonl")
    of_first = [json.dumps(row["messages"]) for row in selected if row["version"] == 1]
    assert set(of_first) <= best
    assert made[1]["versions"][1]["selected_by_version"]["1"] == len(of_first) > 0


def test_reward_models_learn_from_all_preferences_so_far(made: tuple[StageDir, dict], values: dict) -> None:
    data = [source["path"] for source in stage_settings(made, "v2/reward-safety")["data"]]
    assert data == [
        *values["first_preferences"],
        "${run}/rlhf/v1/preferences/preferences.jsonl",
        "${run}/rlhf/v2/preferences/preferences.jsonl",
    ]


def test_new_preferences_compare_a_version_with_the_one_before(made: tuple[StageDir, dict]) -> None:
    rows = read_json_lines(made[0].path / "v2/preferences/pairs.jsonl")
    assert {name[:2] for row in rows for name in (row["model_a"], row["model_b"])} == {"v1", "v2"}
    assert all(row["model_a"][:2] != row["model_b"][:2] for row in rows)


def test_the_last_versions_model_is_the_stages(made: tuple[StageDir, dict]) -> None:
    stage_dir, results = made
    assert results["version"] == 2
    for file in (stage_dir.path / "v2/rejection/model").iterdir():
        assert (stage_dir.model / file.name).read_bytes() == file.read_bytes()


def test_a_complete_part_is_not_done_again(made: tuple[StageDir, dict], values: dict) -> None:
    marks = sorted(made[0].path.glob("v*/*/stage.json"))
    before = [mark.stat().st_mtime_ns for mark in marks]

    def nobody(pairs_file: Path) -> list[Preference]:
        raise AssertionError("nobody is asked again")

    again = run(settings(values), made[0], Annotators(nobody))
    assert [mark.stat().st_mtime_ns for mark in marks] == before
    assert json.dumps(again["version"]) == json.dumps(made[1]["version"])


def test_a_run_that_waited_for_people_ends_as_one_that_did_not(
    made: tuple[StageDir, dict], values: dict, tmp_path: Path
) -> None:
    def away(pairs_file: Path) -> list[Preference]:
        raise PaddockError("nobody is there")

    def away_at_second(pairs_file: Path) -> list[Preference]:
        return away(pairs_file) if "v2" in str(pairs_file) else choose_shorter(pairs_file)

    stage_dir = StageDir(tmp_path / "rlhf")
    for people in (away, away_at_second):
        with pytest.raises(PaddockError, match="nobody is there"):
            run(settings(values), stage_dir, Annotators(people))
    run(settings(values), stage_dir, Annotators(choose_shorter))
    for name in ("model/model.safetensors", "samples.jsonl", "v2/reward-safety/model/model.safetensors"):
        assert (stage_dir.path / name).read_bytes() == (made[0].path / name).read_bytes()


def test_one_version_more_keeps_those_that_are_made(values: dict, made: tuple[StageDir, dict], tmp_path: Path) -> None:
    assert "versions" in RlhfSettings.may_change
    stage_dir = StageDir(tmp_path / "rlhf")
    run(settings(values, versions=1), stage_dir, Annotators(choose_shorter))
    first = (stage_dir.path / "v1" / "check" / "stage.json").stat().st_mtime_ns
    run(settings(values), stage_dir, Annotators(choose_shorter))
    assert (stage_dir.path / "v1" / "check" / "stage.json").stat().st_mtime_ns == first
    assert (stage_dir.model / "model.safetensors").read_bytes() == (made[0].model / "model.safetensors").read_bytes()


def test_how_often_a_part_logs_is_no_reason_to_make_it_again(
    values: dict, made: tuple[StageDir, dict], tmp_path: Path
) -> None:
    assert {"rejection.log_every", "safety.keep_saves"} <= RlhfSettings.passing
    assert {"rejection.samples", "helpfulness.watts"} <= RlhfSettings.may_change
    shutil.copytree(made[0].path, tmp_path / "rlhf")
    marks = sorted((tmp_path / "rlhf").glob("v*/*/stage.json"))
    before = [mark.read_bytes() for mark in marks]
    changes = {name: {**values.get(name, {}), "log_every": 3, "keep_saves": 5} for name in ("rejection", "helpfulness")}
    run(settings(values, **changes), StageDir(tmp_path / "rlhf"), Annotators(choose_shorter))
    assert [mark.read_bytes() for mark in marks] == before


def test_a_regression_stops_the_run_at_the_version_before(
    values: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: StageDir
) -> None:
    check = regression.check
    monkeypatch.setattr(regression, "check", lambda *args: {**check(*args), "regressed": True})
    stage_dir = StageDir(tmp_path / "rlhf")
    results = run(settings(values, stop_on_regression=True, safety_reward=None), stage_dir, Annotators(choose_shorter))
    assert (results["version"], len(results["versions"])) == (0, 1)
    assert (stage_dir.model / "model.safetensors").read_bytes() == (tuned.model / "model.safetensors").read_bytes()
    assert not (stage_dir.path / "v1" / "reward-safety").exists()
    assert results["stopped_by_regression"] is True
    assert (stage_dir.path / "reward-helpfulness").resolve() == Path(values["helpfulness_reward"]).resolve()


def test_a_recipe_that_stops_on_a_regression_has_its_results_and_goes_on_from_the_version_before(
    values: dict, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        regression, "check", lambda _, folder: (folder.write_samples([]), {"domains": {}, "regressed": True})[1]
    )
    monkeypatch.setattr(catalog, "find_annotators", lambda *_: Annotators(choose_shorter))
    after = {"model": "${rlhf}/model", "helpfulness_reward": "${rlhf}/reward-helpfulness", "best_of": 2}
    stages = {
        "rlhf": {**values, "stop_on_regression": True, "safety_reward": None},
        "evaluate": {"stage": "evaluate-world", "data": str(world), **after},
    }
    recipe = build_recipe({"name": "test", "stages": stages}, tmp_path / "run", "test")
    results = run_step(recipe.steps[0])
    stored = json.loads((tmp_path / "run" / "rlhf" / "results.json").read_text())
    assert stored == results
    assert (stored["version"], stored["stopped_by_regression"]) == (0, True)
    assert (tmp_path / "run" / "rlhf" / "stage.json").exists()
    assert recipe.steps[1].inputs()  # all that follows finds what it reads


def test_the_newest_reward_models_stand_in_a_place_of_their_own(made: tuple[StageDir, dict]) -> None:
    for domain in ("helpfulness", "safety"):
        newest = made[0].path / f"reward-{domain}"
        assert newest.resolve() == (made[0].path / "v2" / f"reward-{domain}" / "model").resolve()
        assert not newest.readlink().is_absolute()
    assert made[1]["stopped_by_regression"] is False


GHOST = {"turns": 2, "history": 0, "keep": "all", "max_new_tokens": 20, "cuts": 1}


def test_from_the_third_version_on_each_learns_from_ghost_attention_of_the_one_before(values: dict, tmp_path: Path) -> None:
    wanted = settings(values, ghost_attention={**GHOST, "data": values["data"]}, ghost_attention_weight=2)
    versions = Versions(wanted, tmp_path)
    assert [versions.ghost_attention(n) is not None for n in (1, 2, 3, 4)] == [False, False, True, True]
    assert versions.rejection(2).mixed == ()
    for version in (3, 4):
        sampling = versions.ghost_attention(version)
        assert sampling.model == str(tmp_path / f"v{version - 1}" / "rejection" / "model")
        assert sampling.reward == str(tmp_path / f"v{version - 1}" / "reward-helpfulness" / "model")
        (mixed,) = versions.rejection(version).mixed
        assert (mixed.path, mixed.weight) == (str(tmp_path / f"v{version}" / "ghost-attention" / "dialogs.jsonl"), 2)


def test_a_version_with_ghost_attention_is_fine_tuned_on_its_dialogs_and_on_the_best_replies(
    values: dict, dialogs: Path, tmp_path: Path
) -> None:
    wanted = settings(values, versions=1, ghost_attention={**GHOST, "data": [str(dialogs)]}, ghost_attention_from=1)
    assert str(dialogs) in wanted.inputs()
    stage_dir = StageDir(tmp_path / "rlhf")
    (figures,) = run(wanted, stage_dir, Annotators(choose_shorter))["versions"]
    first = stage_dir.path / "v1"
    selected = list(read_dialogs([first / "rejection" / "selected.jsonl"]))
    mixed = list(read_dialogs([first / "ghost-attention" / "dialogs.jsonl"]))
    assert figures["ghost_attention_dialogs"] == len(mixed) > 20
    data = StageDir(first / "rejection").read_results()["data"]
    assert data["rows"] == len(selected) + len(mixed)
    assert plan(wanted)["ghost_attention_replies_a_version"] >= len(mixed)


def test_a_setting_of_ghost_attention_that_follows_from_the_version_is_refused(values: dict) -> None:
    with pytest.raises(SettingsError, match="rlhf: ghost_attention: model follow from the stage's"):
        settings(values, ghost_attention={**GHOST, "data": values["data"], "model": "x"})


def test_a_wrong_setting_of_a_part_is_named_before_any_work(values: dict) -> None:
    with pytest.raises(SettingsError, match=r'rlhf: rejection: unknown setting "replys"\. Did you mean "replies"'):
        settings(values, rejection={"replys": 3})


def test_a_setting_that_follows_from_the_version_is_refused(values: dict) -> None:
    with pytest.raises(SettingsError, match="rlhf: helpfulness: domain, model follow from the stage's"):
        settings(values, helpfulness={"model": "x", "domain": "safety"})


def test_reward_models_without_pairs_to_be_judged_by_are_refused(values: dict) -> None:
    with pytest.raises(SettingsError, match="need pairs to be judged by"):
        settings(values, preferences={"held_out_share": 0.0})


def test_a_held_out_prompt_that_is_learnt_from_is_refused_before_any_work(values: dict, tmp_path: Path) -> None:
    both = settings(values, held_out=[*values["held_out"], values["data"][0]])
    for work in (lambda: plan(both), lambda: run(both, StageDir(tmp_path / "rlhf"), Annotators(choose_shorter))):
        with pytest.raises(DataError, match=r"prompts\.jsonl:1: 80 held-out prompts, this one the first of them, are among"):
            work()
    assert not (tmp_path / "rlhf").exists()


def test_a_plan_counts_versions_prompts_and_replies(values: dict) -> None:
    assert plan(settings(values)) == {"versions": 2, "prompts": 80, "replies_a_version": 160, "held_out_prompts": 42}


def test_two_processes_sample_and_select_what_one_does(rlhf_values: dict, tmp_path: Path) -> None:
    """They train with sums in another order, so what the trained models then write may differ."""
    config = tmp_path / "rlhf.yaml"
    config.write_text(json.dumps(rlhf_values))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "paddock"]
    command = [*launch, "rlhf", "--config", str(config), "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[:3000]
    run(settings(rlhf_values), StageDir(tmp_path / "one"), find_annotators(rlhf_values["annotators"], 0))
    for name in ("best.jsonl", "selected.jsonl"):
        of_two, of_one = (read_json_lines(tmp_path / ranks / "v1" / "rejection" / name) for ranks in ("two", "one"))
        assert [row["messages"] for row in of_two] == [row["messages"] for row in of_one]
    assert (tmp_path / "two" / "stage.json").exists()
