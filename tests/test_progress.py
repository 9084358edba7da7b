"""Progress in plain lines, as a log or a pipe gets it."""

import pytest

from paddock import progress
from paddock.progress import ProgressLine, duration, say


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (42.4, "42s"), (60, "1m"), (754, "13m"), (3599, "60m"), (3600, "1h00m"), (11_100, "3h05m")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_words_for_the_user_go_to_stderr(capsys):
    say("reads 3 files")
    assert capsys.readouterr() == ("", "reads 3 files\n")


def test_a_line_has_step_figures_and_time_left_in_one_order(clock, capsys):
    with ProgressLine("sft", 500) as line:
        clock.now += 60
        line.update(100, loss="1.830", speed="24,000 tok/s")
    # 100 steps took 60 s, so 400 take 240 s.
    assert capsys.readouterr().err == "sft 100/500  loss 1.830  24,000 tok/s  eta 4m\n"


def test_the_time_left_of_a_resumed_run_counts_its_own_steps(clock, capsys):
    with ProgressLine("sft", 500, start=400) as line:
        clock.now += 30
        line.update(450)
    assert capsys.readouterr().err.endswith("eta 30s\n")


def test_lines_come_no_faster_than_every_five_seconds_but_for_the_last(clock, capsys):
    with ProgressLine("sft", 4) as line:
        for step in range(1, 5):
            line.update(step)
            clock.now += 2
    assert [text.split()[1] for text in capsys.readouterr().err.splitlines()] == ["1/4", "4/4"]


def test_nothing_is_written_to_stdout(clock, capsys):
    with ProgressLine("sft", 2) as line:
        line.update(2)
    assert capsys.readouterr().out == ""
