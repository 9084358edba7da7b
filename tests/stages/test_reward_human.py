"""Rewards beside people's ratings: from tables of both forms, from scores and from reward models."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from paddock.errors import DataError, SettingsError
from paddock.report.page import write_report
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages.reward_human import RewardHumanSettings, plan, run


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Ten replies, each rated by three: the median of reply n is 1 + n % 7; its score rises with it."""
    rows = []
    for n in range(10):
        median = 1 + n % 7
        ratings = (max(1, median - 2), median, min(7, median + 1))
        about = {"prompt": f"Question {n // 2}?", "reply": "word " * median, "domain": ("helpfulness", "safety")[n % 2]}
        rows += [
            {"item": f"r{n}", "rater": rater, "rating": rating, "score": median - 4 + n / 100, **about}
            for rater, rating in zip("abc", ratings, strict=True)
        ]
    path = tmp_path / "ratings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def settings(data: Path, **changes: object) -> RewardHumanSettings:
    return parse(RewardHumanSettings, {"data": str(data), **changes}, "test")


def test_medians_stand_beside_the_sigmoid_of_scores(long, tmp_path):
    results = run(settings(long, score="score"), StageDir(tmp_path / "out"))
    rows = {row["likert"]: row for row in results["by_likert"]["all"]}
    assert {likert: row["n"] for likert, row in rows.items()} == {1: 2, 2: 2, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1}
    assert rows[5]["mean"] == pytest.approx(1 / (1 + math.exp(-1.04)))
    assert results["correlations"]["all"]["spearman"]["estimate"] == pytest.approx(0.99, abs=0.01)
    assert results["correlations"]["all"]["spearman"]["n"] == 5  # prompts
    assert set(results["by_likert"]) == {"all", "helpfulness", "safety"}


def test_a_wide_table_gives_the_same(long, tmp_path):
    rows = [json.loads(line) for line in long.read_text().splitlines()]
    wide = [
        {
            "prompt": some[0]["prompt"],
            "reply": some[0]["reply"],
            "s": some[0]["score"],
            **{r["rater"]: r["rating"] for r in some},
        }
        for some in (rows[place : place + 3] for place in range(0, 30, 3))
    ]
    (tmp_path / "wide.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wide))
    found = run(settings(tmp_path / "wide.jsonl", raters=["a", "b", "c"], score="s"), StageDir(tmp_path / "wide"))
    expected = run(settings(long, score="score"), StageDir(tmp_path / "out"))
    assert found["by_likert"]["all"] == expected["by_likert"]["all"]
    assert found["correlations"]["all"] == expected["correlations"]["all"]


def test_replies_are_scored_by_the_reward_model_of_their_domain(reward_folders, long, tmp_path):
    one, two = (str(reward_folders[name]) for name in ("helpfulness", "safety"))
    by_one = run(settings(long, helpfulness_reward=one), StageDir(tmp_path / "one"))
    by_both = run(settings(long, helpfulness_reward=one, safety_reward=two), StageDir(tmp_path / "both"))
    assert by_one["by_likert"]["helpfulness"] == by_both["by_likert"]["helpfulness"]
    assert by_one["by_likert"]["safety"] != by_both["by_likert"]["safety"]
    assert by_one["unscored"] == 0


def test_a_reply_without_a_score_is_counted_and_left_out(long, tmp_path):
    rows = [json.loads(line) for line in long.read_text().splitlines()]
    rows[0]["score"] = None  # the first row of an item tells
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = run(settings(long, score="score"), StageDir(tmp_path / "out"))
    assert (results["replies"], results["unscored"]) == (10, 1)
    assert sum(row["n"] for row in results["by_likert"]["all"]) == 9


def test_the_page_draws_figure_29(long, tmp_path):
    stage = StageDir(tmp_path / "run" / "reward-human")
    stage.begin("reward-human", settings(long, score="score").model_dump(mode="json"), {})
    stage.complete(run(settings(long, score="score"), stage))
    page = write_report(tmp_path / "run").read_text()
    assert "Reward by rating · safety" in page
    assert "Kendall" in page


def test_ratings_stand_beside_their_own_replies_whatever_the_items_are_called(long, tmp_path):
    expected = run(settings(long, score="score"), StageDir(tmp_path / "out"))
    rows = [json.loads(line) for line in long.read_text().splitlines()]
    for row in rows:
        row["item"] = 10_000_000 + int(row["item"][1:])
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(settings(long, score="score"), StageDir(tmp_path / "numbered")) == expected


def test_a_domain_without_a_reward_and_a_score_that_is_no_number_are_refused(long, tmp_path):
    rows = [json.loads(line) for line in long.read_text().splitlines()]
    rows[3]["domain"] = "code"  # the first row of the second item
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"ratings.jsonl:4: field 'domain': 'code' is not one of helpfulness, safety"):
        run(settings(long, helpfulness_reward=str(tmp_path)), StageDir(tmp_path / "out"))
    rows[3]["score"] = "high"
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"ratings.jsonl:4: field 'score': 'high' is not a number"):
        run(settings(long, score="score"), StageDir(tmp_path / "out"))


def test_what_cannot_be_is_refused_by_line_and_column(long, tmp_path):
    assert plan(settings(long, score="score")) == {"replies": 10, "raters": 3}
    with pytest.raises(SettingsError, match="give one of helpfulness_reward and score"):
        settings(long)
    with pytest.raises(DataError, match="there is no column 'scores'"):
        run(settings(long, score="scores"), StageDir(tmp_path / "out"))
    with pytest.raises(DataError, match="8 is not one of the declared categories"):
        long.write_text(long.read_text() + json.dumps({"item": "x", "rater": "a", "rating": 8}) + "\n")
        plan(settings(long, score="score"))
