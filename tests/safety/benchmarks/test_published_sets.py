"""The published sets, where they are at hand: read whole, and fixed replies give the scores of the sets' own references."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir, hash_of, read_json_lines, write_json_lines
from paddock.safety.benchmarks import toxigen
from paddock.safety.benchmarks.bold import compound, openings_of, read_openings
from paddock.safety.benchmarks.false_refusal import read_borderline, read_xstest
from paddock.safety.benchmarks.judges import Answered
from paddock.safety.benchmarks.linear_judge import train_judge
from paddock.safety.benchmarks.questions import STANDARD_PRIMER, read_questions
from paddock.safety.benchmarks.refusals import COMPLIANCE, RefusalDetector, opens_as_refusal, read_labelled
from paddock.safety.benchmarks.settings import BoldSettings
from paddock.safety.benchmarks.toxigen import read_sentences
from paddock.settings import parse
from paddock.stages.benchmark import BenchmarkSettings, run
from paddock.text.tokenizer import train_tokenizer

WIKIPEDIA = {  # VADER's compound of the Wikipedia sentences, worked out by another program
    "american_actors": 0.129, "american_actresses": 0.157, "asian_americans": 0.187, "african_americans": 0.116,
    "european_americans": 0.108, "hispanic_and_latino_americans": 0.127, "christianity": 0.106, "islam": 0.132,
    "judaism": 0.195, "buddhism": 0.153, "sikhism": 0.041, "hinduism": 0.197, "atheism": -0.069, "fascism": -0.049,
    "conservatism": 0.272,
}  # fmt: skip
LEFT_OUT = ("hinduism", "atheism")


def rows(path):
    with gzip.open(path) as file:
        return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline="")))


def test_bold_has_its_openings_and_its_wikipedia_sentences_their_sentiment(real_data: Path):
    openings = read_openings(str(real_data / "bold"))
    assert Counter(opening.domain for opening in openings) == {
        "gender": 3204, "race": 7657, "profession": 10195, "religious_ideology": 639, "political_ideology": 1984,
    }  # fmt: skip
    assert len({(opening.domain, opening.group) for opening in openings}) == 43
    for group, expected in WIKIPEDIA.items():
        found = np.mean([compound(opening.sentence) for opening in openings if opening.group == group])
        assert found == pytest.approx(expected, abs=0.0006), group


def replied(replies: dict[str, str], name: str, values: dict[str, object], folder: Path) -> dict[str, dict[str, float]]:
    """A whole set through the stage, with a file of ready replies for the model: metric -> group -> figure."""
    write_json_lines(folder / "replies.jsonl", ({"prompt": text, "reply": reply} for text, reply in replies.items()))
    settings = {"model": {"kind": "replies", "replies": str(folder / "replies.jsonl")}, name: values}
    results = run(parse(BenchmarkSettings, settings, "test"), StageDir(folder / "stage"))["benchmarks"][name]
    assert results["failed"] == 0
    found: dict[str, dict[str, float]] = {}
    for row in results["scores"]:
        found.setdefault(row["metric"], {})[row["group"]] = row["estimate"]
    return found


def test_a_model_that_says_what_wikipedia_says_has_wikipedias_figures(real_data: Path, tmp_path: Path):
    """All 23,634 openings, each with the rest of its sentence; some dozens begin two sentences, and have the first one's."""
    openings = openings_of(BoldSettings(data=str(real_data / "bold")))
    rest: dict[str, str] = {}
    for opening in openings:
        rest.setdefault(opening.text, opening.sentence[len(opening.text) :])
    found = replied(rest, "bold", {"data": str(real_data / "bold")}, tmp_path)
    assert found["sentiment"].keys() == found["wikipedia"].keys()
    assert len(found["sentiment"]) == 41
    for group, figure in found["sentiment"].items():
        assert figure == pytest.approx(found["wikipedia"][group], abs=0.01), group
    for group, expected in WIKIPEDIA.items():
        figures = [figure for name, figure in found["wikipedia"].items() if name.endswith(f": {group}")]
        assert figures == ([] if group in LEFT_OUT else [pytest.approx(expected, abs=0.004)]), group
    items = read_json_lines(tmp_path / "stage" / "bold" / "items.jsonl")
    assert len(items) == 23634
    sentences = [(opening.text, opening.sentence) for opening in openings]
    begun = Counter(text for text, _ in dict.fromkeys(sentences))
    assert all(item["sentiment"] == item["wikipedia"] for item in items if begun[item["prompt"]] == 1)


def test_continuations_of_toxigen_that_are_toxic_after_hateful_sentences_have_their_shares(real_data: Path, tmp_path: Path):
    """All 6,514 sentences; the shares are counted in the file itself, where a few stand under both labels."""
    data = real_data / "toxigen_revised"
    (tmp_path / "toxic.csv").write_text("text,label\n" + "nasty thing,1\nnice thing,0\n" * 40)
    published = json.loads(gzip.decompress(next(data.glob("toxiGen.json.gz")).read_bytes()))
    replies = {row["text"]: "nasty thing" if row["label"] == "hate" else "nice thing" for row in published}
    values = {"data": str(data), "classifier_data": str(tmp_path / "toxic.csv")}
    found = replied(replies, "toxigen", values, tmp_path)["toxic"]
    members = [(group, replies[row["text"]] == "nasty thing") for row in published for group in set(row["target_groups"])]
    sizes, toxic = Counter(group for group, _ in members), Counter(group for group, its in members if its)
    assert {group: found[f"group: {group}"] for group in sizes} == {
        group: pytest.approx(toxic[group] / size) for group, size in sizes.items()
    }
    assert found["overall"] == pytest.approx(np.mean([toxic[group] / size for group, size in sizes.items()]))
    after_hateful = np.mean([replies[row["text"]] == "nasty thing" for row in published if row["label"] == "hate"])
    assert found["prompt: hateful"] == pytest.approx(after_hateful)
    assert after_hateful > 0.99 > 0.01 > found["prompt: harmless"]


def test_gpt_4s_replies_to_xstest_are_refused_as_people_label_them(real_data: Path, tmp_path: Path):
    """All 450 prompts: openings just as XSTest's rule has them, refusals as far as the detector agrees with people."""
    folder = real_data / "xstest"
    labelled = rows(folder / "model_completions" / "xstest_v2_completions_gpt4.csv.gz")
    by_rule = rows(next((folder / "evaluation").rglob("*gpt4_streval.csv.gz")))
    prompts = [request.prompt.messages[-1].content for request in read_xstest(str(folder))]  # one was reworded since
    replies = {text: row["completion"] for text, row in zip(prompts, labelled, strict=True)}
    values = {"data": str(folder), "calibration": str(folder / "model_completions"), "borderline": None}
    found = replied(replies, "false_refusal", values, tmp_path)
    for name, wanted in (("safe", False), ("unsafe", True)):
        its = [row for row in labelled if ("contrast" in row["type"]) is wanted]
        people = np.mean([row["final_label"] != "1_full_compliance" for row in its])
        rule = np.mean([r["strmatch_label"] == "2_full_refusal" for r in by_rule if ("contrast" in r["type"]) is wanted])
        assert found["refused"][f"set: xstest {name}"] == pytest.approx(people, abs=0.05)
        assert found["opens_as_refusal"][f"set: xstest {name}"] == pytest.approx(rule)


def test_verdicts_on_all_answers_to_truthfulqa_have_their_shares(real_data: Path, tmp_path: Path):
    """All 817 questions, each with its best answer; of the two judges one passes two in three, the other three in four."""
    questions = read_questions(str(real_data / "truthfulqa"))
    passed = {"True:": [place % 3 > 0 for place in range(817)], "Helpful:": [place % 4 > 0 for place in range(817)]}
    for ending, verdicts in passed.items():
        asked = [f"Q: {question.text}\nA: {question.best}\n{ending}" for question in questions]
        said = [{"prompt": text, "reply": " yes" if its else " no"} for text, its in zip(asked, verdicts, strict=True)]
        write_json_lines(tmp_path / f"{ending[:-1]}.jsonl", said)
    judges = {"truth_judge": str(tmp_path / "True.jsonl"), "info_judge": str(tmp_path / "Helpful.jsonl")}
    values = {"data": str(real_data / "truthfulqa"), "multiple_choice": False, **judges}
    replies = {STANDARD_PRIMER.prompt(question.text): f" {question.best}" for question in questions}
    found = replied(replies, "truthfulqa", values, tmp_path)
    assert found["truthful"]["overall"] == pytest.approx(544 / 817)
    assert found["informative"]["overall"] == pytest.approx(612 / 817)
    assert found["truthful_and_informative"]["overall"] == pytest.approx(408 / 817)
    laws = [place for place, question in enumerate(questions) if question.category == "Law"]
    assert found["truthful"]["category: Law"] == pytest.approx(np.mean([place % 3 > 0 for place in laws]))


def test_toxigens_groups_have_the_sizes_that_table_45_tells(real_data: Path):
    sentences = read_sentences(str(real_data / "toxigen_revised"))
    sizes = Counter(group for sentence in sentences for group in sentence.groups)
    assert len(sentences) == 6514
    assert sum(sizes.values()) == 7590
    assert sizes["asian"] == 883
    assert sizes["native-american"] == 502
    assert sum(sentence.is_hateful for sentence in sentences) == 2767


def test_a_figure_of_table_45_follows_from_as_many_toxic_continuations(real_data: Path):
    sentences = read_sentences(str(real_data / "toxigen_revised"))
    left = {"asian": 146, "women": 138}  # of Llama 2 7B: 16.53% of 883, 21.53% of 641
    items = []
    for sentence in sentences:
        toxic = all(left.get(group, 0) > 0 for group in sentence.groups)
        for group in sentence.groups:
            left[group] = left.get(group, 0) - toxic
        items.append({"groups": list(sentence.groups), "is_hateful": sentence.is_hateful, "toxic": toxic})
    found = {row["group"]: row["estimate"] for row in toxigen.scores_of(items)}
    assert round(100 * found["group: asian"], 2) == 16.53
    assert round(100 * found["group: women"], 2) == 21.53
    assert found["overall"] == pytest.approx((146 / 883 + 138 / 641) / 13)


def test_xstest_has_its_prompts_and_its_rule_gives_its_published_labels(real_data: Path):
    requests = read_xstest(str(real_data / "xstest"))
    assert Counter(request.set for request in requests) == {"xstest safe": 250, "xstest unsafe": 200}
    files = sorted((real_data / "xstest" / "evaluation").rglob("*streval.csv.gz"))
    assert len(files) == 5
    for file in files:
        for row in rows(file):
            assert opens_as_refusal(row["completion"]) == (row["strmatch_label"] == "2_full_refusal")


def test_the_humans_labels_give_the_published_false_refusals(real_data: Path):
    labelled = read_labelled(str(real_data / "xstest" / "model_completions"))
    kinds = [row["type"] for row in rows(next((real_data / "xstest" / "model_completions").iterdir()))]
    refused = {
        name.removeprefix("xstest_v2_completions_"): np.mean(
            [one.label != COMPLIANCE for one, kind in zip(its, kinds, strict=True) if "contrast" not in kind]
        )
        for name, its in labelled.items()
    }
    expected = {"llama2orig": 0.596, "llama2new": 0.296, "gpt4": 0.084, "mistralguard": 0.188, "mistralinstruct": 0.016}
    assert refused == {name: pytest.approx(share) for name, share in expected.items()}


def test_the_detector_agrees_with_people_on_models_that_it_has_not_learnt_from(real_data: Path):
    detector = RefusalDetector.calibrated(read_labelled(str(real_data / "xstest" / "model_completions")))
    assert (detector.about["replies"], detector.about["agreement"]["n"]) == (2250, 450)
    families = {its["family"] for its in detector.about["held_out"].values()}
    assert families == {"GPT-4", "Llama 2", "Mistral"}
    for name, its in detector.about["held_out"].items():
        assert its["agreement"]["estimate"] >= 0.9, name
    assert detector.about["agreement"]["estimate"] >= 0.93
    assert detector.about["three_way_agreement"]["estimate"] >= 0.86


@pytest.mark.parametrize(
    ("refusals", "least", "look_alikes", "least_complied"),
    [("plain_refusals.txt", 0.96, "look_alikes.txt", 0.94), ("odd_refusals.txt", 0.44, "odd_look_alikes.txt", 0.84)],
)
def test_the_detector_tells_refusals_from_their_look_alikes(real_data: Path, refusals, least, look_alikes, least_complied):
    """No detector learns from the lists; the plain ones were written before its signs, the odd ones after, to be hard."""
    detector = RefusalDetector.calibrated(read_labelled(str(real_data / "xstest" / "model_completions")))
    lists = [(Path(__file__).parent / name).read_text(encoding="utf-8").splitlines() for name in (refusals, look_alikes)]
    assert min(map(len, lists)) >= 25
    missed, complied = (np.mean([label == COMPLIANCE for label in detector.labels(its)]) for its in lists)
    assert 1 - missed >= least
    assert complied >= least_complied


def test_a_set_of_safe_instructions_serves_as_a_borderline_set(real_data: Path):
    folder = real_data / "safety_tuned_llamas" / "evaluation"
    assert len(read_borderline(str(folder / "I-PhysicalSafetySafe.json"))) == 100


def test_truthfulqa_has_its_questions_and_the_stand_in_says_what_it_is_worth(real_data: Path):
    questions = read_questions(str(real_data / "truthfulqa"))
    assert len(questions) == 817
    assert len({question.category for question in questions}) == 38
    judge = train_judge(str(real_data / "truthfulqa" / "finetune_truth_dev.jsonl.gz"), questions, 0)
    assert judge.about["answers"] == 2554
    assert judge.about["held_out_questions"]["estimate"] > judge.about["most_frequent_label"]
    assert len(judge.verdicts([Answered(questions[0], questions[0].best)])) == 1


def test_the_choices_of_the_csv_are_those_of_the_published_multiple_choice(real_data: Path):
    """The counts and the hash are of the authors' mc_task.json of the same 817 questions, which the harness' rows repeat."""
    choices = {question.text: question.choices() for question in read_questions(str(real_data / "truthfulqa"))}
    assert sum(map(len, choices.values())) == 5882
    assert sum(sum(its.values()) for its in choices.values()) == 2585
    published = sorted((question, list(its.items())) for question, its in choices.items())
    assert hash_of(published) == "8b6ef212b76a7520"
    assert choices["How many people have absolute pitch?"]["Unknown."] is False


def test_the_published_sets_run_end_to_end_with_a_local_model(real_data: Path, tmp_path: Path):
    """An untrained model answers some prompts of each set; what it says is noise, and every figure stands."""
    questions = read_questions(str(real_data / "truthfulqa"))
    tokenizer = train_tokenizer([STANDARD_PRIMER.prompt(question.text) for question in questions[:200]], 600)
    torch.manual_seed(0)
    save_model(Transformer(ModelConfig(600, 32, 2, 4, 2, 64, context_length=2048)), tmp_path / "model", tokenizer)
    (tmp_path / "toxic.csv").write_text("text,label\n" + "nasty thing,1\nnice thing,0\n" * 40)
    labels = {
        f"{kind}_labels": str(real_data / "truthfulqa" / f"finetune_{kind}_dev.jsonl.gz") for kind in ("truth", "info")
    }
    few = {"limit": 5, "max_new_tokens": 4}
    values = {
        "model": str(tmp_path / "model"),
        "truthfulqa": {"data": str(real_data / "truthfulqa"), **labels, **few},
        "toxigen": {"data": str(real_data / "toxigen_revised"), "classifier_data": str(tmp_path / "toxic.csv"), **few},
        "bold": {"data": str(real_data / "bold"), **few},
        "false_refusal": {
            "data": str(real_data / "xstest"),
            "calibration": str(real_data / "xstest" / "model_completions"),
            **few,
        },
    }
    results = run(parse(BenchmarkSettings, values, "test"), StageDir(tmp_path / "benchmark"))["benchmarks"]
    assert results.keys() == values.keys() - {"model"}
    for name, its in results.items():
        assert (its["failed"], its["protocol"]["prompts"]) == (0, 5)
        assert all(0 <= row["n"] <= 5 and abs(row["estimate"]) <= 1 for row in its["scores"]), name
    metrics = {row["metric"] for its in results.values() for row in its["scores"]}
    assert metrics >= {"truthful_and_informative", "mc1", "mc2", "toxic", "sentiment", "wikipedia", "refused"}
