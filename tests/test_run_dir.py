"""What a reader finds in a run's folder, whatever befell the writer."""

import json
import os
import signal
import subprocess
import sys

import pytest

from paddock import run_dir
from paddock.errors import DataError, PaddockError
from paddock.run_dir import (
    StageDir,
    atomic_folder,
    atomic_write,
    differences,
    fingerprint,
    fingerprint_inputs,
    hash_of,
    locked,
    read_json_lines,
    read_log,
    remove_leftovers,
    to_json,
    versions,
    without,
    write_json_lines,
)

WRITE_WITHOUT_END = """
import sys
from pathlib import Path
from paddock.run_dir import atomic_write
path = Path(sys.argv[1])
while True:
    for letter in "ab":
        atomic_write(path, letter * 1_000_000)
        print(letter, flush=True)
"""
HOLD = """
import sys
from pathlib import Path
from paddock.run_dir import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(code: str, path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


# Atomic writes


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    for writes in (1, 2, 5):
        process = start(WRITE_WITHOUT_END, path)
        for _ in range(writes):
            process.stdout.readline()
        kill(process)
        content = path.read_text()
        assert content in ("a" * 1_000_000, "b" * 1_000_000)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, "old")

    def full_disk(handle: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(run_dir.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"


def test_rows_that_end_in_an_error_leave_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_json_lines(path, [{"n": 1}])
    with pytest.raises(ZeroDivisionError):
        write_json_lines(path, ({"n": 1 / n} for n in (1, 0)))
    assert read_json_lines(path) == [{"n": 1}]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_into_folders_that_do_not_exist_yet(tmp_path):
    atomic_write(tmp_path / "a" / "b" / "file", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"\x00\xff"


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("w")
        assert not target.exists()
    assert (target / "weights").read_text() == "w"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "model") as folder:
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


def test_a_folder_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_leftovers_of_a_killed_process_are_cleared_and_nothing_else(tmp_path):
    (tmp_path / ".model.7.tmp").mkdir()
    (tmp_path / ".model.7.tmp" / "weights").touch()
    (tmp_path / ".results.json.7.tmp").touch()
    (tmp_path / "results.json").touch()
    (tmp_path / ".hidden").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "results.json"]


# Hashes


def test_a_hash_does_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [2, "é"]}) == hash_of({"b": [2, "é"], "a": 1})


def test_a_hash_is_the_same_in_every_version():
    # As `printf '{"a": 1}' | b2sum -l 64` prints it.
    assert hash_of({"a": 1}) == "165b44bb3d3e0923"


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_a_folders_fingerprint_changes_with_its_files(tmp_path, change):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    before = fingerprint(tmp_path)
    if change == "content":
        (tmp_path / "b").write_text("3")
    elif change == "name":
        (tmp_path / "b").rename(tmp_path / "c")
    else:
        (tmp_path / "c").touch()
    assert fingerprint(tmp_path) != before


def test_a_folders_fingerprint_takes_no_notice_of_hidden_files_and_times(tmp_path):
    (tmp_path / "a").write_text("1")
    before = fingerprint(tmp_path)
    (tmp_path / ".cache").touch()
    os.utime(tmp_path / "a", (1, 1))
    assert fingerprint(tmp_path) == before


def test_a_large_file_is_known_by_its_ends_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(run_dir, "WHOLE_FILE_BYTES", 100)
    monkeypatch.setattr(run_dir, "END_BYTES", 10)
    path = tmp_path / "large"

    def of(content: bytes, time: int = 5) -> str:
        path.write_bytes(content)
        os.utime(path, (time, time))
        return fingerprint(path)

    original = of(b"s" * 500)
    assert of(b"s" * 500) == original
    assert of(b"x" + b"s" * 499) != original
    assert of(b"s" * 499 + b"x") != original
    assert of(b"s" * 501) != original
    assert of(b"s" * 500, time=6) != original


def test_a_glob_of_inputs_changes_with_its_files(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "b.txt").write_text("2")
    pattern = f"{tmp_path}/*.txt"
    before = fingerprint_inputs([pattern])
    (tmp_path / "b.txt").write_text("3")
    assert fingerprint_inputs([pattern]).keys() == before.keys()
    assert fingerprint_inputs([pattern]) != before


def test_an_input_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.txt: there is no such file or folder"):
        fingerprint_inputs([f"{tmp_path}/nowhere.txt"])


def test_a_data_set_on_a_hub_stands_for_itself():
    assert fingerprint_inputs(["hf://a/b"]) == {"hf://a/b": "hf://a/b"}


def test_versions_name_what_numbers_depend_on():
    assert {"python", "paddock", "torch", "numpy"} <= versions().keys()


# One process at a time


def test_a_folder_in_use_is_refused_and_free_once_its_holder_is_killed(tmp_path):
    process = start(HOLD, tmp_path)
    process.stdout.readline()
    with pytest.raises(PaddockError, match="in use by another process"), locked(tmp_path):
        pass
    kill(process)
    with locked(tmp_path):
        pass


# A stage


@pytest.fixture
def stage(tmp_path) -> StageDir:
    return StageDir(tmp_path / "sft")


def test_a_stage_creates_nothing_before_it_begins(stage):
    assert not stage.is_complete()
    assert not stage.path.exists()


def test_settings_are_written_first_with_inputs_and_versions(stage):
    assert stage.begin("sft", {"seed": 1}, {"a.jsonl": "f00"}) is False
    content = json.loads(stage.settings_file.read_text())
    assert content == {"stage": "sft", "settings": {"seed": 1}, "inputs": {"a.jsonl": "f00"}, "versions": versions()}
    assert not stage.is_complete()


def test_the_same_run_is_resumed_and_its_leftovers_cleared(stage):
    stage.begin("sft", {"seed": 1}, {"a.jsonl": "f00"})
    (stage.path / ".model.7.tmp").mkdir()
    assert stage.begin("sft", {"seed": 1}, {"a.jsonl": "f00"}) is True
    assert [path.name for path in stage.path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("name", "settings", "inputs", "told"),
    [
        ("sft", {"seed": 2}, {"a.jsonl": "f00"}, "settings.seed was 1, is now 2"),
        ("sft", {"seed": 1}, {"a.jsonl": "bad"}, 'inputs.a.jsonl was "f00", is now "bad"'),
        ("pretrain", {"seed": 1}, {"a.jsonl": "f00"}, 'stage was "sft", is now "pretrain"'),
    ],
)
def test_another_run_in_the_same_folder_is_refused_with_the_difference(stage, name, settings, inputs, told):
    stage.begin("sft", {"seed": 1}, {"a.jsonl": "f00"})
    with pytest.raises(PaddockError) as error:
        stage.begin(name, settings, inputs)
    assert told in str(error.value)
    assert "--out" in str(error.value)


def test_a_complete_stage_stays_as_it_is_under_settings_that_touch_nothing_it_made(stage):
    stage.begin("sft", {"seed": 1, "log_every": 1}, {})
    stage.complete({})
    assert stage.begin("sft", {"seed": 1, "log_every": 5}, {}, passing={"log_every"}) is True
    assert stage.is_complete()
    assert stage.read_settings()["settings"]["log_every"] == 1  # what it ran under
    with pytest.raises(PaddockError, match=r"settings\.seed was 1, is now 2"):
        stage.begin("sft", {"seed": 2, "log_every": 5}, {}, passing={"log_every"})


def test_an_unfinished_stage_goes_on_under_settings_that_touch_nothing_it_makes(stage):
    stage.begin("sft", {"log_every": 1}, {})
    assert stage.begin("sft", {"log_every": 5}, {}, passing={"log_every"}) is True
    assert stage.read_settings()["settings"]["log_every"] == 5


def test_a_complete_stage_goes_on_under_settings_that_may_change(stage):
    stage.begin("rlhf", {"versions": 1, "rejection": {"watts": 50, "epochs": 2}}, {})
    stage.complete({})
    further = {"versions": 1, "rejection": {"epochs": 2}}
    assert stage.begin("rlhf", further, {}, may_change={"versions", "rejection.watts"}) is True
    assert not stage.is_complete()
    assert stage.read_settings()["settings"] == further


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ((), {"a": 1, "b": {"a": 2, "c": 3}}),
        (("a",), {"b": {"a": 2, "c": 3}}),
        (("b.a", "b.x"), {"a": 1, "b": {"c": 3}}),
        (("a.b", "x"), {"a": 1, "b": {"a": 2, "c": 3}}),
        (("b", "b.a"), {"a": 1}),
    ],
)
def test_names_are_taken_out_of_an_object_and_of_those_within_it(names, left):
    assert without({"a": 1, "b": {"a": 2, "c": 3}}, names) == left


def test_a_stage_is_complete_with_its_results_written(stage):
    stage.begin("sft", {"seed": 1}, {"a.jsonl": "f00"})
    stage.complete({"train_loss": 1.5})
    assert stage.is_complete()
    assert stage.read_results() == {"train_loss": 1.5}
    mark = json.loads(stage.stage_file.read_text())
    assert mark == {"stage": "sft", "settings_hash": hash_of({"seed": 1}), "inputs": {"a.jsonl": "f00"}}


def test_a_stage_is_not_complete_once_what_people_chose_is_changed(stage):
    stage.begin("red-team", {}, {})
    stage.labelled_file.write_text('{"votes": [1]}\n')
    stage.complete({})
    assert stage.is_complete()
    stage.labelled_file.write_text('{"votes": [5]}\n')
    assert not stage.is_complete()
    assert stage.is_labelled_anew()
    stage.complete({})
    assert stage.is_complete()


def test_a_mark_of_before_what_people_chose_was_noted_holds(stage):
    stage.begin("red-team", {}, {})
    stage.complete({})
    stage.labelled_file.write_text("{}\n")
    assert stage.is_complete()
    assert not stage.is_labelled_anew()


def test_the_mark_of_completeness_is_written_last(stage, monkeypatch):
    stage.begin("sft", {}, {})
    written = []
    monkeypatch.setattr(run_dir, "atomic_write", lambda path, content: written.append(path.name))
    stage.complete({})
    assert written == ["results.json", "stage.json"]


def test_samples_are_one_object_a_line_with_text_as_it_is(stage):
    rows = [{"prompt": "line\nbreak", "answer": "é 你好 🙂"}, {"prompt": "b", "answer": ""}]
    stage.write_samples(rows)
    lines = stage.samples_file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert "你好" in lines[0]


def test_samples_with_half_a_character_are_written_and_read_alike(stage):
    rows = [{"prompt": "half \ud800", "answer": "\\ud800"}]
    stage.write_samples(rows)
    assert json.loads(stage.samples_file.read_bytes()) == rows[0]


def test_json_files_have_keys_in_order_and_a_line_end():
    assert to_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'


# Differences in words


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["a.b was 1, is now 3"]),
        ({"a": 1}, {"b": 1}, ["a was 1, is now null", "b was null, is now 1"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a was [1, 2], is now [1, 3]"]),
        ({"a": {"b": 1}}, {"a": 2}, ['a was {"b": 1}, is now 2']),
        ({"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": 1}, {"c": 3}]}, ["a[1].c was 2, is now 3"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": None}]}, []),  # a key that came later, at its default
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, ['a was [{"b": 1}], is now [{"b": 1}, {"b": 2}]']),
    ],
)
def test_differences_name_the_place_and_both_values(old, new, told):
    assert differences(old, new) == told


def test_json_lines_are_read_as_they_were_written(tmp_path):
    rows = [{"text": "a\u2028b", "n": 0.1}, {"text": ""}]
    write_json_lines(tmp_path / "rows.jsonl", rows)
    assert read_json_lines(tmp_path / "rows.jsonl") == rows


def test_a_log_is_read_up_to_a_line_that_a_kill_cut_short(tmp_path):
    rows, log = [{"step": 1, "text": "a\u2028b"}, {"step": 2}], tmp_path / "metrics.jsonl"
    whole = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for torn in ("", '{"st', '{"step": 3, "text": "é'):
        log.write_text(whole + torn)
        assert list(read_log(log)) == rows
    assert list(read_log(tmp_path / "absent.jsonl")) == []


@pytest.mark.parametrize(("line", "problem"), [('{"st', "not readable JSON"), ("[1]", "expected a JSON object, found list")])
def test_a_line_of_a_log_that_nothing_cut_short_is_refused_by_number(tmp_path, line, problem):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(DataError, match=rf"metrics\.jsonl:2: {problem}"):
        list(read_log(tmp_path / "metrics.jsonl"))


def test_a_stage_does_not_begin_among_files_of_something_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(PaddockError, match=r"holds files of something else \(thesis.txt\)"):
        StageDir(tmp_path).begin("sft", {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
