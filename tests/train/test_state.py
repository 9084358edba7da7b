"""Saves: which stay, which are passed over, and what a full disk does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paddock.errors import CheckpointError
from paddock.train.parallel import Ranks
from paddock.train.state import STATE_FILE, Saves, restore_weights, training_tensors

ALONE = Ranks(0, 1, torch.device("cpu"))


def saves(folder: Path, keep: int = 2) -> Saves:
    return Saves(folder, keep, ALONE)


def write(folder: Path, *steps: int, keep: int = 2, best_step: int | None = None) -> None:
    for step in steps:
        saves(folder, keep).write(step, {"value": torch.full((3,), float(step))}, {"step": step, "best_step": best_step})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_the_newest_save_is_read_back(tmp_path: Path) -> None:
    write(tmp_path, 10, 20)
    progress, tensors = saves(tmp_path).newest()
    assert progress == {"step": 20, "best_step": None}
    assert tensors["value"].tolist() == [20.0] * 3


def test_where_there_is_no_save_there_is_none(tmp_path: Path) -> None:
    assert saves(tmp_path / "absent").newest() is None


def test_the_newest_saves_stay_and_the_older_ones_go(tmp_path: Path) -> None:
    write(tmp_path, 10, 20, 30, 40, keep=2)
    assert names(tmp_path) == ["step-00000030", "step-00000040"]


def test_the_best_step_stays_however_old(tmp_path: Path) -> None:
    write(tmp_path, 10, keep=1, best_step=10)
    write(tmp_path, 20, 30, keep=1, best_step=10)
    assert names(tmp_path) == ["step-00000010", "step-00000030"]
    write(tmp_path, 40, keep=1, best_step=40)
    assert names(tmp_path) == ["step-00000040"]


@pytest.mark.parametrize("file", ["rank-00000.safetensors", STATE_FILE])
@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-20])])
def test_a_damaged_save_is_passed_over_with_a_warning_that_names_it(
    tmp_path: Path, capsys, file: str, damage: Callable[[Path], None]
) -> None:
    write(tmp_path, 10, 20)
    damage(tmp_path / "step-00000020" / file)
    progress, tensors = saves(tmp_path).newest()
    assert progress["step"] == 10
    assert tensors["value"].tolist() == [10.0] * 3
    warning = capsys.readouterr().err
    assert "warning" in warning
    assert f"{tmp_path}/step-00000020 is damaged ({file}" in warning


def test_a_damaged_save_is_written_again_and_pushes_no_whole_one_out(tmp_path: Path) -> None:
    write(tmp_path, 10, 30)
    flip_a_byte(tmp_path / "step-00000030" / "rank-00000.safetensors")
    write(tmp_path, 20, keep=1)
    assert saves(tmp_path).newest()[0]["step"] == 20
    write(tmp_path, 30, keep=1)
    assert names(tmp_path) == ["step-00000030"]
    assert saves(tmp_path).newest()[0]["step"] == 30


def test_reading_a_damaged_save_by_its_step_is_an_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, 10)
    flip_a_byte(tmp_path / "step-00000010" / "rank-00000.safetensors")
    with pytest.raises(CheckpointError, match="step-00000010 is damaged"):
        saves(tmp_path).read(10)


def test_what_a_killed_save_left_is_cleared(tmp_path: Path) -> None:
    write(tmp_path, 10)
    shutil.copytree(tmp_path / "step-00000010", tmp_path / ".step-00000020.123.tmp")
    assert saves(tmp_path).newest()[0]["step"] == 10
    assert names(tmp_path) == ["step-00000010"]


def test_a_save_of_another_model_is_refused_by_the_name_that_differs() -> None:
    small, large = torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)
    tensors = training_tensors(small, torch.optim.AdamW(small.parameters()))
    with pytest.raises(CheckpointError, match="weight is of another shape"):
        restore_weights(large, tensors)


def test_nothing_in_a_save_is_pickled(tmp_path: Path, tiny_run) -> None:
    tiny_run(tmp_path, steps=2)
    files = [path.name for path in (tmp_path / "checkpoints" / "step-00000002").iterdir()]
    assert sorted(files) == ["rank-00000.safetensors", "state.json"]
    json.loads((tmp_path / "checkpoints" / "step-00000002" / "state.json").read_text())


def test_a_full_disk_stops_the_run_clearly_and_the_last_save_stays_whole(tmp_path: Path, tiny_run) -> None:
    job = {"steps": 100, "settings": {"save_every": 5, "keep_saves": 1}}
    whole = tiny_run(tmp_path / "whole", **job)
    size = (tmp_path / "whole/checkpoints/step-00000100/rank-00000.safetensors").stat().st_size
    assert tiny_run(tmp_path / "full", **job, kill_after={"step": 10, "seconds": 0})["signal"] == 9
    Saves(tmp_path / "full/checkpoints", 1, ALONE).newest()
    before = names(tmp_path / "full/checkpoints")
    answer = tiny_run(tmp_path / "full", **job, file_limit=size - 1000)
    assert answer["error"].startswith("TrainingError")
    assert "the disk is full" in answer["error"]
    assert "start again with the same command" in answer["error"]
    assert names(tmp_path / "full/checkpoints") == before
    assert tiny_run(tmp_path / "full", **job)["weights"] == whole["weights"]


def test_a_disk_too_full_for_a_row_of_metrics_is_the_same_error(tmp_path: Path, tiny_run) -> None:
    answer = tiny_run(tmp_path, steps=6, settings={"log_every": 1}, file_limit=100)
    assert answer["error"].startswith("TrainingError")
    assert "metrics.jsonl: the disk is full" in answer["error"]


def test_a_damaged_older_save_does_not_stop_the_next_one(tmp_path: Path) -> None:
    write(tmp_path, 10, 20, keep=3)
    (tmp_path / "step-00000010" / STATE_FILE).write_text('{"progress": {"st')
    write(tmp_path, 30, keep=3)
    progress, _ = saves(tmp_path, keep=3).newest()
    assert progress["step"] == 30
