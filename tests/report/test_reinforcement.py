"""Reinforcement learning on the page, and the truth beside it."""

import pytest

from paddock.report import reinforcement
from paddock.report.blocks import Figures, Prose, Table
from paddock.report.run_folder import read_run

METRICS = [
    {"step": 0, "split": "held_out", "reward": 1.0, "reply_tokens": 10.0},
    {"step": 1, "split": "train", "reward": 1.1, "kl": 0.0, "clip_share": None, "entropy": 0.6, "reply_tokens": 11.0},
    {"step": 2, "split": "train", "reward": 1.4, "kl": 0.3, "clip_share": 0.1, "entropy": 0.5, "reply_tokens": 12.0},
    {"step": 2, "split": "held_out", "reward": 1.3, "reply_tokens": 12.0},
]


def score(metric, group, estimate):
    return {
        "metric": metric,
        "group": group,
        "unit": "logit",
        "estimate": estimate,
        "lower": estimate - 0.5,
        "upper": estimate + 0.5,
    }


SCORES = [
    score("held_out_reward", "overall", 1.25),
    score("held_out_tokens", "overall", 12.0),
    score("held_out_reward", "policy: before PPO", 0.75),
]


def truth(step, reward, helpfulness):
    def share(estimate):
        return {"estimate": estimate, "lower": estimate - 0.02, "upper": estimate + 0.02, "n": 360}

    return {"step": step, "reward": reward, "true_helpfulness": share(helpfulness), "violations": share(0.3)}


CURVE = [truth(0, 1.0, 0.5), truth(20, 2.0, 0.6), truth(1000, 3.0, 0.55)]


def blocks(run, kind):
    return [block for block in reinforcement.section(read_run(run)).blocks if isinstance(block, kind)]


def figures(run):
    return [figure for block in blocks(run, Figures) for figure in block.figures]


def test_held_out_scores_stand_before_and_after(tmp_path, add):
    add("ppo", "ppo", {"kept_iteration": 40, "scores": SCORES}, metrics=METRICS)
    (table,) = blocks(tmp_path, Table)
    assert table.columns == ("", "before", "after 40 iterations")
    assert table.rows[0].cells == ("Held out reward", "0.75\n0.25 to 1.25", "1.25\n0.75 to 1.75")
    assert table.rows[1].cells == ("Held out tokens", "–", "12\n11.5 to 12.5")


def test_each_group_of_metrics_has_a_drawing(tmp_path, add):
    add("ppo", "ppo", {}, metrics=METRICS)
    titles = [figure.title for figure in figures(tmp_path)]
    assert titles == [f"{name} · ppo" for name in ("Reward", "KL", "Entropy", "Length", "Clipping")]


def test_metrics_that_were_not_logged_are_not_drawn(tmp_path, add):
    add("ppo", "ppo", {}, metrics=METRICS[:2])  # no clip share before the policy learns
    assert [figure.title for figure in figures(tmp_path)] == [
        f"{name} · ppo" for name in ("Reward", "KL", "Entropy", "Length")
    ]


def test_a_line_leaves_out_what_is_not_known_and_what_is_of_the_other_split():
    line = reinforcement._line(METRICS, "train", "clip_share", "clipped")
    assert (line.x, line.y, line.dots) == ([2], [0.1], False)
    line = reinforcement._line(METRICS, "held_out", "reward", "held out")
    assert (line.x, line.y, line.dots) == ([0, 2], [1.0, 1.3], True)


def test_an_unseen_reward_model_is_drawn_where_there_is_one(tmp_path, add):
    add("ppo", "ppo", {}, metrics=[{**row, "unseen": 0.5} for row in METRICS])
    assert "unseen model, held out" in figures(tmp_path)[0].svg


def test_the_truth_is_drawn_by_iteration_and_by_the_reward(tmp_path, add):
    add("evaluate-ppo", "evaluate-world", {"curve": CURVE})
    by_step, by_reward = figures(tmp_path)
    assert "held-out reward, standard deviations" not in by_step.svg
    for text in ("held-out reward, standard deviations", "true helpfulness", "violations", "before", "step 1,000"):
        assert f">{text}<" in by_reward.svg
    assert "false refusals" not in by_reward.svg  # there are none in the curve
    assert "over-optimised" in blocks(tmp_path, Prose)[0].text


def test_a_truth_without_an_answer_is_left_out(tmp_path, add):
    unknown = {"estimate": None, "lower": 0.0, "upper": 1.0, "n": 0}
    add("evaluate-ppo", "evaluate-world", {"curve": [*CURVE[:2], {**CURVE[2], "violations": unknown}]})
    assert "violations" not in figures(tmp_path)[0].svg


def test_a_model_graded_by_itself_is_no_reinforcement(tmp_path, add):
    add("evaluate-sft", "evaluate-world", {"scores": []})
    assert reinforcement.section(read_run(tmp_path)) is None


@pytest.mark.parametrize("state", [{}, {"iterations": 1}])
def test_ppo_that_has_not_logged_yet_is_left_out(tmp_path, add, state):
    add("ppo", "ppo", state)
    assert reinforcement.section(read_run(tmp_path)) is None
