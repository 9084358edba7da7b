"""What the report reads of a run, whole or broken off."""

import json
from itertools import pairwise

import pytest

from paddock.errors import DataError
from paddock.report.run_folder import SAMPLES_SHOWN, read_run
from paddock.run_dir import StageDir


def stage_of(run, name):
    return next(stage for stage in read_run(run).stages if stage.name == name)


def test_stages_stand_in_the_recipes_order_and_others_after_them(run):
    names = [stage.name for stage in read_run(run).stages]
    assert names == ["world", "tokenizer", "pretrain", "sft", "evaluate-world", "preferences", "second-sft"]


def test_states_are_told_by_the_stages_files(run):
    states = [stage.state for stage in read_run(run).stages]
    assert states == ["complete"] * 5 + ["not started", "unfinished"]


def test_a_stage_under_another_name_keeps_its_kind(run):
    assert stage_of(run, "second-sft").kind == "sft"


def test_a_stage_that_ran_by_itself_is_a_run_of_one(run):
    (only,) = read_run(run / "sft").stages
    assert (only.name, only.state) == ("sft", "complete")


def test_a_last_line_without_its_end_is_passed_over(run):
    assert stage_of(run, "second-sft").metrics[-1]["step"] == 140


def test_a_line_that_is_not_json_is_refused_by_number(run):
    metrics = run / "second-sft" / "metrics.jsonl"
    lines = metrics.read_text().split("\n")
    metrics.write_text("\n".join([*lines[:2], "{broken}", *lines[2:]]))
    with pytest.raises(DataError, match=r"metrics\.jsonl:3: not readable JSON"):
        read_run(run)


def test_a_row_that_is_no_object_is_refused_by_number(run):
    (run / "evaluate-world" / "samples.jsonl").write_text('{"prompt": "a"}\n[1]\n')
    with pytest.raises(DataError, match=r"samples\.jsonl:2: expected a JSON object, found list"):
        read_run(run)


def test_results_that_are_not_json_are_refused(run):
    (run / "sft" / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json: not readable JSON"):
        read_run(run)


def test_what_a_resumed_run_logged_again_replaces_what_it_logged_before(run):
    rows = [{"step": step, "split": "train", "loss": loss} for step, loss in ((10, 3.0), (20, 2.5), (20, 2.4), (30, 2.0))]
    (run / "second-sft" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(row["step"], row["loss"]) for row in stage_of(run, "second-sft").metrics] == [(10, 3.0), (20, 2.4), (30, 2.0)]


@pytest.mark.parametrize("count", [1, 5, SAMPLES_SHOWN, 13, 1000])
def test_samples_are_spread_from_the_first_row_to_the_last(run, count):
    rows = "".join(json.dumps({"prompt": "p", "answer": str(place)}) + "\n" for place in range(count))
    (run / "sft" / "samples.jsonl").write_text(rows)
    stage = stage_of(run, "sft")
    places = [int(row["answer"]) for row in stage.samples]
    assert stage.sample_count == count
    assert len(places) == min(count, SAMPLES_SHOWN)
    assert (places[0], places[-1]) == (0, count - 1)
    gaps = {after - before for before, after in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_tokenizers_folder_is_no_model_to_chat_with(run):
    assert stage_of(run, "tokenizer").model_hash is None
    assert stage_of(run, "sft").model_hash is not None


def test_parts_of_a_stage_stand_by_their_version(run):
    StageDir(run / "rlhf").begin("rlhf", {}, {})
    for version in (10, 2):
        for name in ("rejection", "check"):
            part = StageDir(run / "rlhf" / f"v{version}" / name)
            part.begin(name, {}, {})
    parts = stage_of(run, "rlhf").parts
    assert [(part.group, part.name) for part in parts] == [
        ("v2", "check"),
        ("v2", "rejection"),
        ("v10", "check"),
        ("v10", "rejection"),
    ]
    assert stage_of(run, "sft").parts == ()


def test_what_a_stage_made_is_counted_in_bytes(run):
    assert stage_of(run, "pretrain").made == {"model/": 4_200_400}
