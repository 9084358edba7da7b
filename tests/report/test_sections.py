"""Each section of the page, from the files of a run."""

import json
from dataclasses import replace

import pytest

from paddock.report import carbon, losses, provenance, reinforcement, rewards, samples, scores, spine, truth, versions
from paddock.report.carbon import PUBLISHED
from paddock.report.headline import headline
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN
from paddock.run_dir import StageDir


@pytest.fixture
def bare(tmp_path):
    """A run whose one stage has begun and written nothing."""
    StageDir(tmp_path / "sft").begin("sft", {"seed": 3}, {})
    return read_run(tmp_path)


def add_results(run, name, results):
    stage = StageDir(run / name)
    stage.begin(name, {}, {})
    stage.complete(results)
    return read_run(run)


@pytest.mark.parametrize("module", [truth, scores, rewards, versions, reinforcement, losses, samples, carbon])
def test_a_section_without_content_is_left_out(bare, module):
    assert module.section(bare) is None


# The spine


def test_an_input_within_the_run_is_told_from_its_folder():
    assert spine.place_in_run("${run}/tokenizer/model") == "tokenizer/model"
    assert spine.place_in_run("/data/tiny/books/a.txt") == "/data/tiny/books/a.txt"


def test_an_unfinished_stage_tells_the_time_that_it_has_logged(run):
    (block,) = spine.section(read_run(run)).blocks
    assert block.items[-1].duration == "29s"  # 140 steps of 0.21 s


def test_a_stage_without_a_time_has_none(bare):
    (block,) = spine.section(bare).blocks
    assert block.items[0].duration == ""


# Scores


def score(metric, group, lower, estimate, upper, n=9, unit="share"):
    return {"metric": metric, "group": group, "unit": unit, "estimate": estimate, "lower": lower, "upper": upper, "n": n}


def score_block(run, rows):
    """The block of a further stage whose scores are `rows`."""
    return scores.section(add_results(run, "more", {"scores": rows})).blocks[-1]


def test_metrics_as_wholes_stand_first_and_each_by_its_groups_below(run):
    _, wholes, by_skill, by_category = scores.section(read_run(run)).blocks
    assert [row.group for row in wholes.rows] == ["Helpfulness", "Violations", "False refusals"]
    assert by_skill.title == "Helpfulness by skill · evaluate-world"
    assert len(by_skill.rows) == 9
    assert [row.group for row in by_category.rows] == ["Borderline", "Hateful", "Illicit", "Unqualified advice"]


def test_a_share_is_per_cent_with_whiskers_that_span_its_interval(run):
    wholes = scores.section(read_run(run)).blocks[1]
    first = wholes.rows[0]
    assert (first.estimate, first.interval, first.n) == ("67.2%", "62.2 to 71.9%", "360")
    assert (first.lower, first.place, first.upper) == pytest.approx((62.2, 67.2, 71.9), abs=0.1)
    assert wholes.scale == ("0%", "50%", "100%")


def test_a_score_in_another_unit_is_scaled_from_its_lowest_to_its_highest_bound(run):
    block = score_block(run, [score("reward", "a", 1, 2, 3, unit="logit"), score("reward", "b", 3, 4, 5, unit="logit")])
    assert block.scale == ("1", "3", "5")
    assert [(row.lower, row.place, row.upper) for row in block.rows] == [(0, 25, 50), (50, 75, 100)]


def test_groups_that_are_numbers_stand_by_size(run):
    block = score_block(run, [score("obedience", f"turn: {turn}", 0.4, 0.5, 0.6) for turn in (1, 10, 2)])
    assert block.title == "Obedience by turn · more"
    assert [row.group for row in block.rows] == ["1", "2", "10"]


def test_a_whisker_ends_where_its_scale_does(run):
    row = score_block(run, [score("helpfulness", "overall", 0.93, 0.98, 1.03)]).rows[0]
    assert (row.upper, row.interval) == (100, "93.0 to 103.0%")


def test_an_unknown_score_is_a_dash_without_a_dot(run):
    row = score_block(run, [score("obedience", "overall", None, None, None, n=0)]).rows[0]
    assert (row.estimate, row.interval, row.n, row.place) == (UNKNOWN, UNKNOWN, "0", None)


def test_scores_of_all_but_the_last_stage_are_folded(run):
    blocks = scores.section(add_results(run, "more", {"scores": [score("helpfulness", "overall", 0.1, 0.2, 0.3)]})).blocks
    assert [block.kind for block in blocks] == ["prose", "folded", "scores"]
    assert blocks[1].title == "evaluate-world"
    assert blocks[1].blocks[0].title == "evaluate-world"
    assert blocks[2].title == "more"


@pytest.mark.parametrize("kind", ["reward", "ppo"])
def test_scores_that_have_tables_of_their_own_are_not_told_twice(run, kind):
    found = add_results(run, kind, {"scores": [score("reward_accuracy", "overall", 0.1, 0.2, 0.3)]})
    assert "reward_accuracy" not in str(scores.section(found))


# Loss


def test_a_validation_loss_stands_at_the_tokens_trained_on_not_at_those_validated(run):
    rows = [
        {"step": 100, "split": "train", "loss": 3.0, "tokens": 50_000},
        {"step": 150, "split": "validation", "loss": 2.9, "tokens": 777},
        {"step": 200, "split": "train", "loss": 2.0, "tokens": 90_000},
    ]
    (run / "second-sft" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = losses.section(read_run(run)).blocks[0].figures
    assert figures[-1].caption == "200 steps, 90k tokens; training ends at 2.000; validation ends at 2.900."
    train, validation = losses.columns([rows[0], rows[2]]), losses.columns([rows[1]])
    assert losses.counts_by(train, validation.steps) == [70_000]


def test_a_lowest_validation_loss_before_the_end_is_named(run):
    rows = [
        {"step": s, "split": split, "loss": x, "tokens": s}
        for s, x in ((1, 2.0), (2, 1.0), (3, 1.5))
        for split in ("train", "validation")
    ]
    (run / "second-sft" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    caption = losses.section(read_run(run)).blocks[0].figures[-1].caption
    assert caption.endswith("validation ends at 1.500; lowest 1.000 at step 2.")


def test_a_loss_that_is_not_finite_is_not_drawn(run):
    rows = (
        '{"step": 1, "split": "train", "loss": 2.0, "tokens": 5}\n{"step": 2, "split": "train", "loss": NaN, "tokens": 9}\n'
    )
    (run / "second-sft" / "metrics.jsonl").write_text(rows)
    assert losses.section(read_run(run)).blocks[0].figures[-1].caption.startswith("1 steps, 5 tokens")


# Samples


def test_turns_of_a_conversation_end_with_the_answer(run):
    sample = samples.section(read_run(run)).blocks[1].samples[1]
    assert [message.role for message in sample.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert sample.messages[-1].content == "22 + 22 = 44 lantern"
    assert [(fact.name, fact.value) for fact in sample.facts] == [("skill", "add"), ("obedience", "1")]


def test_grades_within_a_sample_stand_below_it_and_unknown_ones_do_not(run):
    sample = samples._sample({"prompt": "p", "answer": "a", "risk": None, "grades": {"safe": True, "helpfulness": 0.5}})
    assert [(fact.name, fact.value) for fact in sample.facts] == [("safe", "yes"), ("helpfulness", "0.5")]


def test_plain_text_is_a_prompt_that_a_model_went_on_with(run):
    sample = samples.section(read_run(run)).blocks[0].samples[0]
    assert sample.plain
    assert sample.messages[0].content == "Mara lives in"


def test_a_turn_without_a_role_is_shown_as_it_is_written(run):
    (run / "sft" / "samples.jsonl").write_text('{"prompt": [{"who": "x"}, "loose"], "answer": "a"}\n')
    sample = samples.section(read_run(run)).blocks[1].samples[0]
    assert [message.content for message in sample.messages] == ['{"who": "x"}', "loose", "a"]


def test_a_pair_is_shown_by_its_chosen_reply_with_the_rejected_one_below():
    sample = samples._sample({"prompt": "p", "chosen": "yes", "rejected": "no", "chosen_score": 2.0})
    assert [message.content for message in sample.messages] == ["p", "yes"]
    assert [(fact.name, fact.value) for fact in sample.facts] == [("rejected", "no"), ("chosen score", "2")]


# Energy and carbon


@pytest.mark.parametrize("row", PUBLISHED[:4])
def test_published_rows_of_table_2_fit_its_formula(row):
    # Hours x watts / 1e6 x 0.4235 kg a kWh gives every row, but for one in the last printed digit.
    hours, watts, tonnes = (float(cell.replace(",", "")) for cell in row[1:])
    assert hours * watts / 1e6 * 0.4235 == pytest.approx(tonnes, abs=0.015)


def test_published_hours_of_table_2_sum_to_its_total():
    assert sum(int(row[1].replace(",", "")) for row in PUBLISHED[:4]) == int(PUBLISHED[4][1].replace(",", ""))


def test_this_runs_rows_and_their_sum_stand_above_the_published_ones(run):
    _, table = carbon.section(read_run(run)).blocks
    assert [row.cells[0] for row in table.rows if not row.published] == ["pretrain", "sft", "This run"]
    # 1100 and 400 steps of 0.21 s are 0.0875 h; at 20 W and 0.4235 kg a kWh, 0.741 g.
    assert table.rows[2].cells == ("This run", "0.0875", "", "7.41 × 10⁻⁷")
    assert [row.cells for row in table.rows if row.published] == list(PUBLISHED)


def test_the_energy_of_a_stage_in_parts_is_their_sum(run):
    stage = StageDir(run / "rlhf")
    stage.begin("rlhf", {}, {})
    for name in ("v1/rejection", "v1/reward-safety"):
        part = StageDir(stage.path / name)
        part.begin(name, {}, {})
        part.complete({"energy": {"device_hours": 0.25, "watts": 20.0, "tco2eq": 1e-6}})
    energy = carbon.energy_of(read_run(run).stages[-1])
    assert energy == {"device_hours": 0.5, "watts": 20.0, "tco2eq": 2e-6}


# Settings, versions, hashes


def test_provenance_holds_settings_versions_and_hashes(run):
    block = next(block for block in provenance.section(read_run(run)).blocks[1:] if block.title == "sft")
    facts = {fact.name: fact.value for fact in block.facts}
    assert facts["learning_rate"] == "0.003"
    assert facts["data"] == '["${run}/world/data"]'
    assert facts["hash of tokenizer/model"] == "1b9b33aa01f2c3b4"
    assert {"version of python", "hash of the settings", "hash of the model"} <= facts.keys()


# The first screen


def test_headline_has_at_most_six_figures_scores_first(run):
    labels = [figure.label for figure in headline(read_run(run)).figures]
    assert labels == ["Helpfulness", "Violations", "Loss of sft", "Time", "Tokens", "CO₂ equivalent"]


def test_headline_takes_the_scores_of_the_last_stage_that_has_some(run):
    better = {"scores": [score("helpfulness", "overall", 0.7, 0.8, 0.9, n=50)]}
    figure = headline(add_results(run, "evaluate-again", better)).figures[0]
    assert (figure.value, figure.note) == ("80.0%", "70.0 to 90.0%, n 50")


def test_headline_prefers_the_truth_to_a_proxy(run):
    proxy = {"scores": [score("held_out_reward", "overall", 1, 2, 3, unit="logit")]}
    assert headline(add_results(run, "ppo", proxy)).figures[0].label == "Helpfulness"


def test_a_run_without_a_model_has_nothing_to_chat_with(bare):
    assert headline(bare).chat is None


def test_headline_is_of_the_runs_result_where_a_recipe_names_one(run):
    """A stage after it has other scores."""
    graded, later = ({"scores": [score("helpfulness", "overall", 0.4, value, 0.9, n=50)]} for value in (0.6, 0.8))
    add_results(run, "evaluate-sft", graded)
    read = add_results(run, "evaluate-later", later)
    settings = {"evaluate-sft": {"model": "${run}/sft/model"}}
    of_sft = tuple(replace(stage, settings=settings.get(stage.name, {})) for stage in read.stages)
    assert headline(replace(read, stages=of_sft)).figures[0].value == "80.0%"
    assert headline(replace(read, stages=of_sft, result="sft")).figures[0].value == "60.0%"


def test_nobody_chats_with_a_reward_model(run):
    read = read_run(run)
    reward = replace(next(stage for stage in read.stages if stage.name == "sft"), name="reward-helpfulness", kind="reward")
    assert headline(replace(read, stages=(*read.stages, reward))).chat == f"paddock chat {run}/sft/model"


def test_the_chat_command_can_be_pasted_whatever_the_folder_is_called(run):
    moved = run.rename(run.parent / "my run; rm")
    assert headline(read_run(moved)).chat == f"paddock chat '{moved}/sft/model'"


def test_a_whole_run_says_so(run):
    StageDir(run / "second-sft").complete({})
    recipe = json.loads((run / "recipe.json").read_text())
    del recipe["stages"]["preferences"]
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert headline(read_run(run)).state == "All 6 stages complete"
