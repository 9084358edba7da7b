"""The judge's stage: opponents behind every back end, verdicts that come, break, are killed and go on."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.errors import PaddockError, SettingsError
from paddock.evaluate.comparison import compare
from paddock.evaluate.rating_tables import Layout
from paddock.evaluate.rating_tables import judgements as read_judgements
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages.judge import JudgeSettings, plan, run
from paddock.text.chat_format import tag_in
from paddock.text.tables import read_table

N = 20


def question(number: int) -> str:
    return f"Question {number} of some words{' more' * (number % 7)}?"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """20 prompts: every fifth of safety, with a category, some of two turns."""
    rows = []
    for number in range(N):
        asked = [{"role": "user", "content": question(number)}]
        if number % 10 == 9:
            asked = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}, *asked]
        domain = "safety" if number % 5 == 0 else "helpfulness"
        rows.append({"id": f"p{number}", "messages": asked, "domain": domain, "category": f"c{number % 2}"})
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def replies(path: Path, data: Path, words: list[str]) -> Path:
    """A file of ready replies to all prompts: the n-th is the n-th word, in turn."""
    prompts = [json.loads(line)["messages"] for line in data.read_text().splitlines()]
    rows = [{"prompt": prompt, "reply": words[n % len(words)]} for n, prompt in enumerate(prompts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def values(data: Path, tmp_path: Path, server) -> dict:
    """Good against mixed and bad, judged by an endpoint who knows that good is better than bad."""
    server.answer = lambda path, body: server.chat(f"It is so.\nVerdict: {better(body)}")
    names = {"good": ["good"], "mixed": ["good!", "bad!"], "bad": ["bad"]}
    return {
        "data": [str(data)],
        "opponents": {name: str(replies(tmp_path / f"{name}.jsonl", data, words)) for name, words in names.items()},
        "judge": {"kind": "openai", "base_url": server.url, "model": "j", "prices": {"read": 1e6, "written": 0}},
    }


def better(body: dict) -> str:
    text = body["messages"][0]["content"]
    a, b = ("good" in part for part in text.split("== reply A\n")[1].split("== reply B\n"))
    return "tie" if a == b else "A" if a else "B"


def settings(values: dict, **changes: object) -> JudgeSettings:
    return parse(JudgeSettings, {**values, **changes}, "test")


def rates(results: dict, first: str, second: str, group: str = "all") -> dict:
    rows = [*results["pairs"], *results.get("groups", [])]
    (row,) = [r for r in rows if (r["first"], r["second"], r["group"]) == (first, second, group)]
    return row


def test_wins_ties_and_losses_are_those_of_the_replies(values, tmp_path, server):
    results = run(settings(values), StageDir(tmp_path / "judge"))
    shares = [rates(results, "good", "mixed")[name]["estimate"] for name in ("win", "tie", "loss")]
    assert shares == [0.5, 0.5, 0.0]
    assert rates(results, "good", "bad")["win"]["estimate"] == 1
    assert (results["contests"], results["broken"]) == (6 * N, {})
    assert [row["model"] for row in results["strengths"]] == ["good", "mixed", "bad"]
    assert len(server.requests) == results["judges"]["judge"]["verdicts"] == 6 * N


def test_equal_replies_tie_and_nobody_is_asked_nor_is_the_same_question_put_twice(values, data, tmp_path, server):
    same = {"one": values["opponents"]["good"], "two": values["opponents"]["good"], "bad": values["opponents"]["bad"]}
    results = run(settings(values, opponents=same), StageDir(tmp_path / "judge"))
    assert rates(results, "one", "two")["tie"]["estimate"] == 1
    assert len(server.requests) == 2 * N  # one against bad is two against bad
    assert results["judges"]["judge"]["tokens_read"] == 7 * 2 * N


def test_figures_are_given_by_category_turns_and_length(values, tmp_path):
    results = run(settings(values), StageDir(tmp_path / "judge"))
    groups = {row["group"] for row in results["groups"]}
    assert {"category: c0", "category: c1", "turns: 1", "turns: 2", "domain: safety", "prompt_words: 5"} <= groups
    assert rates(results, "good", "mixed", "category: c1")["win"]["estimate"] == 1
    only = run(settings(values, by=["category"]), StageDir(tmp_path / "by"))
    assert {row["group"] for row in only["groups"]} == {"category: c0", "category: c1"}
    with pytest.raises(SettingsError, match="has the column no_such"):
        run(settings(values, by=["no_such"]), StageDir(tmp_path / "none"))


def test_a_column_of_zeros_is_one_and_one_of_the_table_itself_is_refused(values, data, tmp_path):
    rows = [{**json.loads(line), "level": 0, "rating": 3} for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = run(settings(values, by=["level"], baseline="good"), StageDir(tmp_path / "judge"))
    assert {row["group"] for row in results["groups"]} == {"level: 0"}
    with pytest.raises(SettingsError, match="the table of verdicts has a column rating itself"):
        settings(values, by=["level", "rating"])


def test_the_table_of_verdicts_gives_compare_the_same_figures(values, tmp_path):
    results = run(settings(values), StageDir(tmp_path / "judge"))
    found = read_judgements(read_table(tmp_path / "judge" / "judgements.jsonl"), Layout(), ["category"])
    again = compare(found, ["category"]).as_result()
    assert again["pairs"] == results["pairs"]


def test_prompts_that_begin_alike_are_one_conversation_in_figures_and_in_the_table(values, tmp_path):
    """Two of the twenty are second turns after the same first question."""
    results = run(settings(values), StageDir(tmp_path / "judge"))
    for share in (rates(results, "good", "bad")["win"], results["position_bias"]["orders_agree"]):
        assert share["n"] == N - 1
    rows = [json.loads(line) for line in (tmp_path / "judge" / "judgements.jsonl").read_text().splitlines()]
    assert {row["item"]: row["conversation"] for row in rows}["p19"] == "p9"


def test_each_domain_is_judged_by_its_own_rubric(values, tmp_path, server):
    (tmp_path / "safe.txt").write_text("SAFER? {prompt} {reply_a} == reply A\n{reply_a} == reply B\n{reply_b} Verdict: ?")
    run(settings(values, safety_rubric=str(tmp_path / "safe.txt"), baseline="good"), StageDir(tmp_path / "judge"))
    texts = [body["messages"][0]["content"] for _, body, _ in server.requests]
    for text in texts:
        (number,) = [number for number in range(N) if f"Question {number} " in text]
        assert ("SAFER?" in text) == (number % 5 == 0)
    run(settings(values, baseline="good"), StageDir(tmp_path / "built-in"))
    assert any("Decide which reply is safer" in body["messages"][0]["content"] for _, body, _ in server.requests)


def test_tokens_and_money_are_counted(values, tmp_path):
    results = run(settings(values), StageDir(tmp_path / "judge"))
    judge = results["judges"]["judge"]
    assert (judge["tokens_read"], judge["tokens_written"], judge["money"]) == (7 * 6 * N, 3 * 6 * N, 7 * 6 * N)
    assert judge["seconds"] > 0
    assert (results["opponents"][0]["model"], results["opponents"][0]["money"]) == ("good", None)


def test_an_answer_that_was_filtered_out_is_paid_for(values, tmp_path, server):
    server.answer = lambda path, body: server.chat("Verdict: A", reason="content_filter")
    results = run(settings(values, baseline="bad"), StageDir(tmp_path / "judge"))
    assert results["broken"] == {"the judge failed: no text: content_filter": 4 * N}
    assert results["judges"]["judge"]["tokens_read"] == 7 * 4 * N


def test_a_judge_who_prefers_the_first_place_is_reported_and_gains_no_one_anything(values, tmp_path, server):
    server.answer = lambda path, body: server.chat("Verdict: A")
    results = run(settings(values, baseline="bad"), StageDir(tmp_path / "judge"))
    assert results["position_bias"]["first_place_wins"]["estimate"] == 1
    assert results["position_bias"]["orders_agree"]["lower"] < 0.5
    assert rates(results, "good", "bad")["tie"]["estimate"] == 1


def test_one_drawn_order_asks_half(values, tmp_path, server):
    results = run(settings(values, order="random", baseline="bad"), StageDir(tmp_path / "judge"))
    assert len(server.requests) == 2 * N
    assert rates(results, "good", "bad")["win"]["estimate"] == 1
    assert 0.3 < results["position_bias"]["first_place_wins"]["estimate"] < 0.7


def test_broken_verdicts_and_failed_replies_are_recorded_and_counted(values, tmp_path, server):
    def answer(path, body):
        text = body["messages"][0]["content"]
        if "Question 1 " in text:
            return server.reply({"error": {"message": "refused"}}, 400)
        if "Question 2 " in text:
            return server.chat("I cannot say.")
        if "Question 3 " in text:
            return server.chat("Verdict: A", reason="length")
        return server.chat(f"Verdict: {better(body)}")

    server.answer = answer
    few = {name: values["opponents"][name] for name in ("good", "bad")}
    results = run(settings(values, opponents=few), StageDir(tmp_path / "judge"))
    assert results["broken"] == {
        "the judge failed: HTTP 400: refused": 2,
        "no verdict in what the judge wrote": 2,
        "the judge was cut short": 2,
    }
    assert rates(results, "good", "bad")["prompts"] == N - 3
    rows = read_json_lines(tmp_path / "judge" / "judgements.jsonl")
    assert sum(row["rating"] is None for row in rows) == 6
    assert len(rows) == 2 * N


def test_a_pair_with_one_broken_order_is_left_out_of_figures_and_table(values, tmp_path, server):
    """Where good stands first the judge is lost for words: what is left speaks for bad."""

    def answer(path, body):
        first = body["messages"][0]["content"].split("== reply A\n")[1].split("== reply B\n")[0]
        asked = body["messages"][0]["content"]
        return server.chat("Hm." if "good" in first and "Question 3 " in asked else f"Verdict: {better(body)}")

    server.answer = answer
    few = {name: values["opponents"][name] for name in ("good", "bad")}
    results = run(settings(values, opponents=few), StageDir(tmp_path / "judge"))
    assert results["broken"] == {"no verdict in what the judge wrote": 1, "no verdict in the other order": 1}
    assert rates(results, "good", "bad")["prompts"] == N - 1
    again = compare(read_judgements(read_table(tmp_path / "judge" / "judgements.jsonl"), Layout())).as_result()
    assert again["pairs"] == results["pairs"]


def test_an_opponent_whose_reply_fails_has_a_broken_contest(values, tmp_path, server):
    def answer(path, body):
        if "== reply A" in body["messages"][0]["content"]:
            return server.chat(f"Verdict: {better(body)}")
        return server.reply("", 400) if "Question 1 " in body["messages"][-1]["content"] else server.chat("good")

    server.answer = answer
    endpoint = {"kind": "openai", "base_url": server.url, "model": "o"}
    results = run(
        settings(values, opponents={"live": endpoint, "bad": values["opponents"]["bad"]}), StageDir(tmp_path / "judge")
    )
    assert results["opponents"][0]["failed"] == 1
    assert results["broken"] == {"no reply of live": 2}
    ready = read_json_lines(tmp_path / "judge" / "replies" / "live.jsonl")
    assert (ready[0]["reply"], ready[1]["error"]) == ("good", "HTTP 400: ")


def test_an_opponent_is_asked_with_its_own_prompt_and_sampling(values, tmp_path, server):
    server.answer = lambda path, body: server.chat(
        "Verdict: tie" if "== reply A" in body["messages"][0]["content"] else "good"
    )
    own = {"kind": "openai", "base_url": server.url, "model": "o", "system_prompt": "Be good.", "sampling": {"top_p": 0.5}}
    file = tmp_path / "opponents.yaml"
    file.write_text(json.dumps({"live": own, "bad": values["opponents"]["bad"]}))
    results = run(settings(values, opponents=str(file), max_new_tokens=7), StageDir(tmp_path / "judge"))
    asked = [body for _, body, _ in server.requests if body["model"] == "o"]
    assert len(asked) == N
    assert {(b["top_p"], b["max_tokens"], b["messages"][0]["content"]) for b in asked} == {(0.5, 7, "Be good.")}
    assert results["pairs"][0]["first"] == "live"


def test_a_second_run_asks_nothing_and_a_shared_cache_only_what_is_new(values, tmp_path, server):
    shared = {"cache": str(tmp_path / "cache")}
    two = {name: values["opponents"][name] for name in ("good", "bad")}
    run(settings(values, opponents=two, **shared), StageDir(tmp_path / "one"))
    before = len(server.requests)
    first = run(settings(values, **shared), StageDir(tmp_path / "two"))
    assert len(server.requests) - before == 4 * N  # good against mixed, mixed against bad
    again = run(settings(values, **shared), StageDir(tmp_path / "three"))
    assert len(server.requests) - before == 4 * N
    assert again == first


def test_a_complete_stage_stays_complete_with_another_cache(values, tmp_path):
    stage = StageDir(tmp_path / "judge")
    for cache in (None, str(tmp_path / "cache")):
        chosen = settings(values, cache=cache)
        stage.begin("judge", chosen.model_dump(mode="json"), {}, chosen.may_change, chosen.passing)
        if cache is None:
            stage.complete({})
    assert stage.is_complete()


def test_a_judge_that_failed_is_asked_again_and_what_stands_is_not(values, tmp_path, server):
    few = settings(values, opponents={name: values["opponents"][name] for name in ("good", "bad")})
    good = server.answer
    server.answer = lambda path, body: (
        server.reply("", 400) if "Question 1 " in body["messages"][0]["content"] else good(path, body)
    )
    assert run(few, StageDir(tmp_path / "judge"))["broken"]
    server.answer, before = good, len(server.requests)
    assert run(few, StageDir(tmp_path / "judge"))["broken"] == {}
    assert len(server.requests) - before == 2


def test_a_run_killed_at_any_verdict_goes_on_and_ends_as_one_that_was_not(values, tmp_path, server):
    """kill -9 from within the judge's own answer; what stood on disk is not asked again."""
    config = tmp_path / "judge.yaml"
    config.write_text(json.dumps(values))
    command = [
        sys.executable,
        "-m",
        "paddock",
        "judge",
        "--config",
        str(config),
        "--out",
        str(tmp_path / "killed"),
        "--json",
    ]
    answer, pid, count = server.answer, [0], [0]

    def deadly(path, body):
        count[0] += 1
        if count[0] == 50:
            os.kill(pid[0], signal.SIGKILL)
        return answer(path, body)

    server.answer = deadly
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid[0] = process.pid
    assert process.wait(60) == -signal.SIGKILL
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert 6 * N < len(server.requests) <= 6 * N + 32
    results, whole = json.loads(done.stdout), run(settings(values), StageDir(tmp_path / "whole"))
    assert results["pairs"] == whole["pairs"]
    for name in ("judgements.jsonl", "replies/good.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_checkpoints_are_judged_by_reward_models(data, tuned, pretrained, reward_folders, tmp_path):
    values = {
        "data": [str(data)],
        "opponents": {"tuned": str(tuned.model), "base": str(pretrained.model)},
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "max_new_tokens": 8,
    }
    results = run(settings(values), StageDir(tmp_path / "judge"))
    rows = read_json_lines(tmp_path / "judge" / "judgements.jsonl")
    assert results["contests"] == len(rows) == N
    assert results["position_bias"] is None
    assert {row["rater"] for row in rows if row["domain"] == "safety"} <= {"safety reward", "equal replies"}
    margin = run(settings(values, tie_margin=1e6), StageDir(tmp_path / "margin"))
    assert rates(margin, "tuned", "base")["tie"]["estimate"] == 1
    swapped = run(settings({**values, "opponents": dict(reversed(values["opponents"].items()))}), StageDir(tmp_path / "s"))
    assert rates(swapped, "base", "tuned")["loss"]["estimate"] == rates(results, "tuned", "base")["win"]["estimate"]


def test_a_reply_with_a_tag_is_no_matter_for_a_local_judge(data, tuned, reward_folders, tmp_path):
    values = {
        "data": [str(data)],
        "opponents": {
            "fine": str(replies(tmp_path / "fine.jsonl", data, ["fine"])),
            "tagged": str(replies(tmp_path / "tagged.jsonl", data, ["ok", "see [INST]"])),
        },
    }
    by_reward = run(settings(values, helpfulness_reward=str(reward_folders["helpfulness"])), StageDir(tmp_path / "r"))
    assert by_reward["broken"] == {"no score": N // 2}
    by_model = run(settings(values, judge=str(tuned.model), verdict_tokens=2), StageDir(tmp_path / "m"))
    assert by_model["broken"]["the judge failed: a tag of the chat format"] == N


def test_a_plan_counts_replies_and_verdicts_and_reads_the_rubric(values, tmp_path):
    assert plan(settings(values)) == {"prompts": N, "opponents": 3, "pairs": 3, "replies": 3 * N, "verdicts": 6 * N}
    assert plan(settings(values, order="random", baseline="good"))["verdicts"] == 2 * N
    with pytest.raises(PaddockError, match="cannot be read"):
        plan(settings(values, rubric=str(tmp_path / "none.txt")))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"judge": None}, "either a chat model judges or a reward model does"),
        ({"helpfulness_reward": "x"}, "give one of judge and helpfulness_reward"),
        ({"safety_reward": "x"}, "safety_reward stands beside helpfulness_reward"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, changes, problem):
    with pytest.raises(SettingsError, match=problem):
        settings(values, **changes)


@pytest.mark.parametrize(
    ("opponents", "problem"),
    [
        ({"a": "x.jsonl"}, "1 models are named, and a comparison takes 2"),
        ({"a": "x.jsonl", "../b": "y.jsonl"}, "a name becomes a file"),
        ({"a": "x.jsonl", "b": {"kind": "opnai"}}, r'opponents: b says kind "opnai"'),
    ],
)
def test_opponents_that_cannot_be_are_refused_before_any_work(values, opponents, problem):
    with pytest.raises(SettingsError, match=problem):
        plan(settings(values, opponents=opponents))
    with pytest.raises(SettingsError, match="the baseline other is none of good, mixed, bad"):
        plan(settings(values, baseline="other"))


def test_published_verdicts_on_real_replies_give_the_published_win_rates(real_data, tmp_path, server):
    """AlpacaEval's replies of two models against its reference, with GPT-4's own preferences for the judge's answers."""
    folder, reference = real_data / "alpaca_eval", "text_davinci_003"
    models = ("llama-2-70b-chat-hf", "vicuna-13b")
    asked = {row["id"]: row["instruction"] for row in read_json_lines(folder / "instructions.jsonl")}
    with gzip.open(folder / "outputs.jsonl.gz", "rt", encoding="utf-8") as file:
        outputs = {(row["generator"], row["id"]): row["output"] for row in map(json.loads, file)}
    with gzip.open(folder / "preferences_gpt4.csv.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["generator_2"] in models and row["generator_1"] == reference]
    ids = [i for i in asked if all((name, i) in outputs for name in (reference, *models))]
    wins = {
        name: {int(row["id"]): row["preference"] == "2.0" for row in rows if row["generator_2"] == name} for name in models
    }
    ids = [i for i in ids if all(i in wins[name] for name in models) and tag_in(asked[i]) is None][:60]
    for name in (reference, *models):
        lines = [json.dumps({"prompt": asked[i], "reply": outputs[name, i]}) for i in ids]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    prompts = [json.dumps({"id": str(i), "prompt": asked[i]}) for i in ids]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts), encoding="utf-8")
    known = {(outputs[name, i], outputs[reference, i]): wins[name][i] for name in models for i in ids}

    def answer(path, body):
        text = body["messages"][0]["content"]
        mark = re.search(r"^(==\w+==) reply A$", text, re.MULTILINE)[1]
        a, rest = text.split(f"{mark} reply A\n")[1].split(f"\n{mark} reply B\n")
        b = rest.split(f"\n{mark} end")[0]
        return server.chat(f"Verdict: {'A' if known.get((a, b), not known.get((b, a))) else 'B'}")

    server.answer = answer
    opponents = {name: str(tmp_path / f"{name}.jsonl") for name in (*models, reference)}
    judge = {"kind": "openai", "base_url": server.url, "model": "gpt-4"}
    values = {"data": [str(tmp_path / "prompts.jsonl")], "opponents": opponents, "baseline": reference, "judge": judge}
    results = run(settings(values), StageDir(tmp_path / "judge"))
    assert (len(ids), results["broken"]) == (60, {})
    for name in models:
        assert rates(results, name, reference)["win"]["estimate"] == pytest.approx(sum(wins[name][i] for i in ids) / 60)
    assert results["position_bias"]["orders_agree"]["estimate"] == 1
