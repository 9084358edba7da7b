"""Sources, weights and reports; and the real data sets, counted."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from paddock.errors import DataError
from paddock.text.dialog import Dialog, Message
from paddock.text.readers import (
    ReadReport,
    Source,
    locations,
    read_conversations,
    read_dialogs,
    read_documents,
    read_preferences,
    read_prompts,
    read_texts,
)

DIALOG = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def documents(path: Path, count: int) -> str:
    return write(path, [{"text": f"{path.stem} {number}"} for number in range(count)])


# --- sources ---


def test_a_source_is_a_path_or_a_path_with_a_weight():
    assert (
        Source.model_validate("a.jsonl") == Source.model_validate({"path": "a.jsonl"}) == Source(path="a.jsonl", weight=1.0)
    )


@pytest.mark.parametrize("value", [{"path": "a", "weight": 0}, {"path": "a", "wieght": 2}, {"weight": 2}])
def test_a_source_that_cannot_be_is_refused(value: dict[str, Any]):
    with pytest.raises(ValidationError):
        Source.model_validate(value)


def test_files_of_a_folder_are_read_in_order_and_others_passed_over(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    expected = [documents(tmp_path / name, 1) for name in ("a.jsonl", "b.jsonl", "sub/c.jsonl")]
    for name in ("README.md", ".hidden.jsonl"):
        documents(tmp_path / name, 1)
    assert locations(tmp_path) == expected
    assert list(read_documents([tmp_path])) == ["a 0", "b 0", "c 0"]


@pytest.mark.parametrize("pattern", ["*.jsonl", "**/part-?.jsonl"])
def test_a_glob_is_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str):
    for number in (2, 1):
        documents(tmp_path / f"part-{number}.jsonl", 1)
    assert list(read_documents([str(tmp_path / pattern)])) == ["part-1 0", "part-2 0"]
    monkeypatch.chdir(tmp_path)
    assert list(read_documents([pattern])) == ["part-1 0", "part-2 0"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path):
    assert list(read_documents([documents(tmp_path / "a[1].jsonl", 1)])) == ["a[1] 0"]


def test_a_missing_source_is_an_error_before_anything_is_read(tmp_path: Path):
    documents(tmp_path / "train.jsonl", 1)
    with pytest.raises(DataError, match=r'Did you mean "train\.jsonl"\?'):
        read_documents([tmp_path / "train.jsonl", tmp_path / "trian.jsonl"])


@pytest.mark.parametrize("name", ["", "*.jsonl"])
def test_a_source_without_readable_files_is_an_error(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="there is no file to read"):
        read_documents([str(tmp_path / name)])


# --- weights ---


@given(weight=st.sampled_from([0.25, 0.5, 1, 1.5, 2, 3.75]), seed=st.integers(0, 5))
def test_a_weight_is_how_many_times_each_row_is_seen(tmp_path_factory: pytest.TempPathFactory, weight: float, seed: int):
    path = documents(tmp_path_factory.mktemp("weights") / "a.jsonl", 400)
    seen = Counter(read_documents([Source(path=path, weight=weight)], seed=seed))
    times = [seen[f"a {number}"] for number in range(400)]
    assert set(times) <= {int(weight), int(weight) + (weight % 1 > 0)}
    assert abs(sum(times) - 400 * weight) < 5 * (400 * 0.25) ** 0.5  # five standard deviations


def test_the_fraction_of_a_weight_picks_by_seed(tmp_path: Path):
    source = Source(path=documents(tmp_path / "a.jsonl", 100), weight=0.5)
    picked = [list(read_documents([source], seed=seed)) for seed in (1, 1, 2)]
    assert picked[0] == picked[1] != picked[2]


def test_repeats_stand_apart(tmp_path: Path):
    source = Source(path=documents(tmp_path / "a.jsonl", 3), weight=2)
    assert list(read_documents([source])) == ["a 0", "a 1", "a 2"] * 2


def test_sources_are_read_one_after_another(tmp_path: Path):
    first = Source(path=documents(tmp_path / "a.jsonl", 1), weight=2)
    assert list(read_documents([first, documents(tmp_path / "b.jsonl", 2)])) == ["a 0", "a 0", "b 0", "b 1"]


# --- domains ---


def test_a_source_gives_its_domain_to_rows_that_name_none(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [{"prompt": "hi"}, {"prompt": "ho", "domain": "helpfulness"}])
    read = list(read_prompts([Source(path=path, domain="safety"), path]))
    assert [prompt.domain for prompt in read] == ["safety", "helpfulness", None, "helpfulness"]


def test_a_pair_has_the_domain_of_its_source(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [{"prompt": "hi", "chosen": "a", "rejected": "b"}])
    assert [pair.domain for pair in read_preferences([Source(path=path, domain="safety")])] == ["safety"]


def test_a_source_can_be_read_for_one_domain_alone(tmp_path: Path):
    rows = [{"prompt": "hi"}, {"prompt": "ho", "domain": "safety"}, {"prompt": "hu", "domain": "helpfulness"}]
    path, report = write(tmp_path / "a.jsonl", rows), ReadReport()

    def read(**source: str) -> list[str]:
        source = Source(path=path, weight=2, **source)
        return [prompt.messages[0].content for prompt in read_prompts([source], report=report)][:2]

    assert read(only="safety") == ["ho", "ho"]
    assert (report.rows, report.other_domain) == (2, 2)
    assert read(only="helpfulness") == ["hu", "hu"]
    assert read(only="safety", domain="safety") == ["hi", "ho"]
    assert "of another domain passed over" in report.summary()


def test_texts_have_no_domain_to_be_read_for(tmp_path: Path):
    assert list(read_documents([Source(path=documents(tmp_path / "a.jsonl", 2), only="safety")])) == []


# --- bad rows ---


def test_a_bad_row_is_an_error_with_file_line_field_and_mend(tmp_path: Path):
    wrong = {"messages": [{"role": "user", "content": "hi"}, {"role": "asistant", "content": "x"}]}
    path = write(tmp_path / "a.jsonl", [DIALOG, wrong])
    reader = read_dialogs([path])
    next(reader)
    with pytest.raises(DataError) as caught:
        next(reader)
    problem = "field 'messages[1].role': \"asistant\" is not one of system, user, human, assistant, gpt"
    assert str(caught.value) == f'{path}:2: {problem}. Did you mean "assistant"?'


def test_skipped_rows_are_counted_by_reason_once(tmp_path: Path):
    rows = [DIALOG, {"messages": []}, {"text": "x"}, {"messages": []}, [1], {**DIALOG, "label": False}]
    report = ReadReport()
    source = Source(path=write(tmp_path / "a.jsonl", rows), weight=3)
    assert len(list(read_dialogs([source], on_bad_row="skip", report=report))) == 3
    expected = {"wrong order of roles": 2, "a document, not a dialog": 1, "not a JSON object": 1}
    assert report == ReadReport(rows=3, skipped=Counter(expected), labelled_bad=1)
    assert report.summary() == (
        "3 rows; 4 skipped (wrong order of roles 2, a document, not a dialog 1, not a JSON object 1); "
        "1 labelled as bad replies left out"
    )


def test_ties_are_no_bad_rows_and_are_counted_once(tmp_path: Path):
    pair, report = {"instruction": "hi", "output_1": "a", "output_2": "b"}, ReadReport()
    path = write(tmp_path / "a.jsonl", [{**pair, "preference": preference} for preference in (1, 0, 1.5, 2)])
    assert [found.chosen for found in read_preferences([Source(path=path, weight=2)], report=report)] == ["a", "b"] * 2
    assert report == ReadReport(rows=4, ties=2)
    assert report.summary() == "4 rows; 2 ties left out"


def test_a_file_that_breaks_off_is_an_error_even_where_rows_are_skipped(tmp_path: Path):
    (tmp_path / "a.json").write_text('[{"text": "x"}, {"te')
    with pytest.raises(DataError, match="not JSON"):
        list(read_documents([tmp_path], on_bad_row="skip"))


# --- what is read ---


def test_each_reader_gives_its_kind(tmp_path: Path):
    pair = {"prompt": "hi", "chosen": "hello", "rejected": "bye"}
    path = write(tmp_path / "a.jsonl", [pair])
    prompt = (Message("user", "hi"),)
    answer = Message("assistant", "hello")
    assert list(read_dialogs([path])) == list(read_conversations([path])) == [Dialog((*prompt, answer))]
    assert list(read_prompts([path])) == [Dialog(prompt)]
    assert [(p.prompt, p.chosen, p.rejected) for p in read_preferences([path])] == [(prompt, "hello", "bye")]


def test_a_row_knows_the_file_and_line_that_it_came_from(tmp_path: Path):
    preference = {"prompt": DIALOG["messages"][:1], "chosen": "a", "rejected": "b"}
    dialogs, pairs = write(tmp_path / "d.jsonl", [DIALOG, DIALOG]), write(tmp_path / "p.jsonl", [preference, preference])
    assert [dialog.source for dialog in read_dialogs([dialogs])] == [f"{dialogs}:1", f"{dialogs}:2"]
    assert [prompt.source for prompt in read_prompts([dialogs])] == [f"{dialogs}:1", f"{dialogs}:2"]
    assert [preference.source for preference in read_preferences([pairs])] == [f"{pairs}:1", f"{pairs}:2"]


def test_equal_dialogs_of_different_places_are_equal(tmp_path: Path):
    first, second = read_dialogs([write(tmp_path / "d.jsonl", [DIALOG, DIALOG])])
    assert first == second


def test_a_reply_leaves_a_dialog_where_it_came_from(tmp_path: Path):
    (prompt,) = read_prompts([write(tmp_path / "d.jsonl", [DIALOG])])
    assert prompt.with_reply("yes").source == f"{tmp_path}/d.jsonl:1"


def test_texts_are_documents_and_dialogs_in_the_chat_format(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [{"text": "x"}, DIALOG, {**DIALOG, "label": False}])
    assert list(read_texts([path])) == ["x", "[INST] hi [/INST] hello "]


# --- the real data sets ---

REAL: list[tuple[Callable[..., Any], str, int, dict[str, int], int]] = [
    (read_documents, "llamafactory_demo/c4_demo.jsonl.gz", 300, {}, 0),
    (read_documents, "tinyshakespeare/input.txt", 18, {}, 0),
    (read_dialogs, "llamafactory_demo/alpaca_en_demo.json.gz", 999, {}, 0),
    (read_dialogs, "llamafactory_demo/kto_en_demo.json.gz", 150, {}, 150),
    (read_dialogs, "llamafactory_demo/dpo_en_demo.json.gz", 300, {}, 0),
    (read_dialogs, "safety_tuned_llamas/*.json.gz", 2483, {}, 0),
    (read_dialogs, "alpaca/seed_tasks.jsonl", 175, {}, 0),
    (read_dialogs, "hh_rlhf", 2308, {"empty text": 4}, 0),
    (read_preferences, "hh_rlhf", 2308, {"empty text": 4}, 0),
    (read_preferences, "llamafactory_demo/dpo_en_demo.json.gz", 300, {}, 0),
    (read_prompts, "mt_bench/*/question.jsonl", 160, {}, 0),
]


@pytest.mark.parametrize(("read", "name", "rows", "skipped", "labelled_bad"), REAL)
def test_real_data_is_read_whole(
    real_data: Path, read: Callable[..., Any], name: str, rows: int, skipped: dict[str, int], labelled_bad: int
):
    report = ReadReport()
    assert len(list(read([str(real_data / name)], on_bad_row="skip", report=report))) == rows
    assert report == ReadReport(rows, Counter(skipped), labelled_bad)


def test_a_real_text_is_read_to_the_last_character(real_data: Path):
    path = real_data / "tinyshakespeare" / "input.txt"
    assert "".join(read_documents([path])) == path.read_text()


def test_alpaca_evals_annotations_are_read_whole(real_data: Path, tmp_path: Path):
    folder, report = real_data / "alpaca_eval", ReadReport()
    lines = (folder / "instructions.jsonl").read_text().splitlines()
    questions = {row["id"]: row["instruction"] for row in map(json.loads, lines)}
    with gzip.open(folder / "outputs.jsonl.gz", "rt") as file:
        outputs = {(row["id"], row["generator"]): row["output"] for row in map(json.loads, file)}
    rows = []
    with gzip.open(folder / "preferences_gpt4.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            sides = {f"generator_{side}": row[f"generator_{side}"] for side in "12"}
            replies = {f"output_{side}": outputs[int(row["id"]), row[f"generator_{side}"]] for side in "12"}
            preference = float(row["preference"])
            rows.append({"instruction": questions[int(row["id"])], **sides, **replies, "preference": preference})
    path = write(tmp_path / "annotations.jsonl", rows)
    for pair in read_preferences([path], on_bad_row="skip", report=report):
        assert "text_davinci_003" in (pair.chosen_model, pair.rejected_model)
    assert report.ties == 66 + 122 + 27
    assert report.rows + report.ties + report.skipped.total() == 42_604
    assert set(report.skipped) <= {"empty text", "identical replies"}


def test_real_transcripts_begin_with_the_user_and_end_with_the_assistant(real_data: Path):
    for dialog in read_dialogs([real_data / "hh_rlhf"], on_bad_row="skip"):
        assert (dialog.messages[0].role, dialog.messages[-1].role) == ("user", "assistant")


def test_the_summary_counts_rows_that_the_validation_files_hold():
    assert (
        ReadReport(rows=9, held_out_elsewhere=2).summary() == "9 rows; 2 left out, which the validation files hold as well"
    )
