"""What every run of steps does beside its steps."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch

from paddock.run_dir import StageDir
from paddock.train.parallel import Ranks
from paddock.train.settings import TrainingSettings
from paddock.train.state import Saves
from paddock.train.steps import Progress, resume, under_way

ALONE = Ranks(0, 1, torch.device("cpu"))
TENSORS = {"weight": torch.arange(3.0)}


@dataclass
class Counting(Progress):
    count: int = 0


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings(batch_size=1, learning_rate=1.0, **{"keep": "best", **changes})


@pytest.fixture
def stage_dir(tmp_path) -> StageDir:
    return StageDir(tmp_path)


def saves(stage_dir: StageDir) -> Saves:
    return Saves(stage_dir.checkpoints, 2, ALONE)


def opened(stage_dir: StageDir, progress: Progress, total: int = 10, **changes: object):
    return under_way("test", total, progress, settings(**changes), stage_dir, saves(stage_dir))


def test_a_run_goes_on_up_to_its_last_step(stage_dir):
    with opened(stage_dir, Progress(step=9)) as run:
        assert run.go_on()
        run.progress.step = 10
        assert not run.go_on()


@pytest.mark.parametrize(("patience", "since_best", "goes_on"), [(3, 2, True), (3, 3, False), (None, 99, True)])
def test_a_run_ends_when_its_patience_does(stage_dir, patience, since_best, goes_on):
    with opened(stage_dir, Progress(step=4, evaluations_since_best=since_best), patience=patience) as run:
        assert run.go_on() == goes_on


def test_what_is_done_every_so_many_steps_is_done_at_the_end_as_well(stage_dir):
    with opened(stage_dir, Progress()) as run:
        due = []
        for step in range(1, 11):
            run.progress.step = step
            due.append(run.is_due(4))
    assert [step for step, is_due in enumerate(due, 1) if is_due] == [4, 8, 10]


def test_a_run_goes_on_from_its_save_with_its_metrics_cut_back_to_it(stage_dir):
    with opened(stage_dir, Counting()) as run:
        for step in (1, 2, 3):
            run.progress.step, run.progress.count = step, 10 * step
            run.log.append({"step": step, "split": "train"})
            if step == 2:
                run.save(TENSORS)
    put_back = {}
    progress = resume(saves(stage_dir), Counting(), put_back.update)
    assert (progress.step, progress.count) == (2, 20)
    assert torch.equal(put_back["weight"], TENSORS["weight"])
    with opened(stage_dir, progress):
        pass
    assert [json.loads(line)["step"] for line in stage_dir.metrics_file.read_text().splitlines()] == [1, 2]


def test_without_a_save_a_run_begins_afresh(stage_dir):
    fresh = Counting(count=7)
    assert resume(saves(stage_dir), fresh, lambda _: pytest.fail("there is nothing to put back")) is fresh


def test_seconds_go_on_from_those_of_the_save(stage_dir):
    with opened(stage_dir, Progress(seconds=1000.0)) as run:
        run.tick()
        assert 1000.0 <= run.progress.seconds < 1060.0
