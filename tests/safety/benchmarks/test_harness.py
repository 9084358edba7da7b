"""The benchmarks as tasks of lm-evaluation-harness, run by it; and its own multiple choice beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import lm_eval
import pytest
import torch
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from paddock.backends.open import open_chat_model
from paddock.errors import DataError, SettingsError
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.safety.benchmarks import bold, false_refusal, toxigen, truthfulqa
from paddock.safety.benchmarks.harness import Scoring, export
from paddock.safety.benchmarks.kept import KeptModel
from paddock.safety.benchmarks.questions import STANDARD_PRIMER, read_questions
from paddock.safety.benchmarks.settings import (
    BoldSettings,
    FalseRefusalSettings,
    ToxigenSettings,
    TruthfulqaSettings,
)
from paddock.text.tokenizer import train_tokenizer

QUESTIONS = [
    ("Is it wet?", "No", ["No", "It is dry", "Not at all"], ["Yes", "It is wet"]),
    ("Is the long road a longer one?", "It is long", ["It is long"], ["It is short", "The road is the road", "Yes"]),
    ("Where?", "Here and there", ["Here", "Here and there", "Unknown", "Here"], ["There", "Unknown", "There"]),
]
ANSWERS = {
    "a is bad": "nasty thing 3",
    "b is fine": "nice thing 4",
    "J is a": "good one",
    "How?": "I cannot help with it 3.",
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def data(tmp_path) -> Path:
    """Small sets of every published form."""
    lines = ["Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source"]
    lines += [f"x,c,{q},{best},{'; '.join(correct)},{'; '.join(wrong)},s" for q, best, correct, wrong in QUESTIONS]
    (tmp_path / "TruthfulQA.csv").write_text("\n".join(lines))
    for name, ending in (("truth", "True:"), ("info", "Helpful:")):
        rows = [
            {"prompt": f"Q: {q}\nA: {answer}\n{ending}", "completion": label}
            for q, _, correct, wrong in QUESTIONS
            for answers, label in ((correct, " yes"), (wrong, " no"))
            for answer in answers
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    sentences = [
        {"text": "a is bad", "label": "hate", "target_groups": ["x"]},
        {"text": "b is fine", "label": "neutral", "target_groups": ["x", "y"]},
        {"text": "c is fine", "label": "neutral", "target_groups": ["x"]},
    ]
    (tmp_path / "toxiGen.json").write_text(json.dumps(sentences))
    toxic = [f"{word} {n},{label}" for n in range(40) for word, label in (("nasty thing", 1), ("nice thing", 0))]
    (tmp_path / "toxic.csv").write_text("\n".join(["text,label", *toxic]))
    for folder, kind, text in (("prompts", "prompt", "J is a "), ("wikipedia", "wiki", "J is a good thing.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"race_{kind}.json").write_text(json.dumps({"g": {"J": [text]}}))
    (tmp_path / "xstest_prompts.csv").write_text("id,prompt,type\n1,How?,homonyms\n2,Why?,contrast_homonyms\n")
    replies = [
        f"{reply} {n}.,{label}"
        for n in range(10)
        for reply, label in (("I cannot help with it", "2_full_refusal"), ("Take eggs", "1_full_compliance"))
    ]
    (tmp_path / "replies.csv").write_text("\n".join(["completion,final_label", *replies]))
    return tmp_path


@pytest.fixture
def settings(data):
    files = {"truth_labels": str(data / "truth.jsonl"), "info_labels": str(data / "info.jsonl")}
    return {
        "truthfulqa": TruthfulqaSettings(data=str(data), multiple_choice=False, **files),
        "toxigen": ToxigenSettings(data=str(data), classifier_data=str(data / "toxic.csv")),
        "bold": BoldSettings(data=str(data)),
        "false_refusal": FalseRefusalSettings(
            data=str(data), calibration=str(data / "replies.csv"), borderline=None, chat=False
        ),
    }


def answer(prompt: str) -> str:
    if "Q: " in prompt:
        return {"Is it wet?": " No", "Where?": " There"}.get(prompt.rpartition("Q: ")[2].removesuffix("\nA:"), " Yes")
    return ANSWERS.get(prompt, "nice thing 1")


class Fixed(LM):
    """A model of the harness whose answers are known; `asked` notes how it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def generate_until(self, requests):
        self.asked += [request.args for request in requests]
        return [answer(request.args[0]) for request in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def evaluate(model, folder, tasks, **words):
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return lm_eval.simple_evaluate(model, tasks=tasks, task_manager=manager, **{"bootstrap_iters": 0, **words})["results"]


def test_the_harness_gives_our_figures_for_the_same_answers(settings, data, told, tmp_path):
    tasks = export(settings, tmp_path / "tasks", 0)
    model = Fixed()
    found = evaluate(model, tmp_path / "tasks", tasks)
    theirs = {task: {key.removesuffix(",none"): value for key, value in its.items()} for task, its in found.items()}
    ours = {}
    for name, module in (("truthfulqa", truthfulqa), ("toxigen", toxigen), ("bold", bold), ("false_refusal", false_refusal)):
        kept = KeptModel("told", lambda: told(answer), tmp_path / "kept" / name)
        rows = module.measure(settings[name], kept, 0)["scores"]
        ours[name] = {(row["metric"], row["group"]): row["estimate"] for row in rows}
    for metric in ("truthful", "informative", "truthful_and_informative"):
        assert theirs["paddock_truthfulqa"][metric] == pytest.approx(ours["truthfulqa"][metric, "overall"])
    assert (
        theirs["paddock_toxigen"]["toxic_mean"] == pytest.approx(ours["toxigen"]["toxic", "overall"]) == pytest.approx(1 / 6)
    )
    assert (
        theirs["paddock_toxigen"]["toxic_x"] == pytest.approx(ours["toxigen"]["toxic", "group: x"]) == pytest.approx(1 / 3)
    )
    assert theirs["paddock_bold"]["sentiment_g"] == pytest.approx(ours["bold"]["sentiment", "race: g"])
    assert theirs["paddock_bold"]["sentiment_g"] > 0.3
    refused = theirs["paddock_false_refusal"]
    assert refused["refused_xstest_safe"] == ours["false_refusal"]["refused", "set: xstest safe"] == 1.0
    assert refused["refused_xstest_unsafe"] == ours["false_refusal"]["refused", "set: xstest unsafe"] == 0.0


def test_the_harness_gives_no_interval_rather_than_one_that_takes_prompts_of_a_group_as_strangers(settings, tmp_path):
    """Its standard errors are of plain means; what it does not know, such as a mean over groups, has none."""
    tasks = export(settings, tmp_path / "tasks", 0)
    for found in evaluate(Fixed(), tmp_path / "tasks", tasks, bootstrap_iters=10).values():
        errors = [value for key, value in found.items() if key.endswith("_stderr,none")]
        assert errors
        assert set(errors) == {"N/A"}


def test_truthfulqa_that_nothing_judges_is_refused_at_export(data, tmp_path):
    with pytest.raises(SettingsError, match=r"nothing would judge the answers.*truthfulqa_mc1"):
        export({"truthfulqa": TruthfulqaSettings(data=str(data))}, tmp_path / "tasks", 0)
    assert not (tmp_path / "tasks").exists()


def test_what_is_not_there_is_named_at_export(data, tmp_path):
    missing = ToxigenSettings(data=str(data), classifier_data="nothing.csv")
    with pytest.raises(DataError, match=r"nothing\.csv: there is no such file"):
        export({"toxigen": missing}, tmp_path / "tasks", 0)


def test_the_tasks_score_from_any_folder(data, tmp_path, monkeypatch):
    """What was given by paths from the folder of the export: data, a judge's YAML file, the file that it names."""
    (data / "judge.yaml").write_text("kind: replies\nreplies: verdicts.jsonl\n")
    asked = [f"Q: Where?\nA: x\n{ending}" for ending in ("True:", "Helpful:")]
    (data / "verdicts.jsonl").write_text("".join(f"{json.dumps({'prompt': text, 'reply': ' yes'})}\n" for text in asked))
    monkeypatch.chdir(data)
    judged = TruthfulqaSettings(data="TruthfulQA.csv", truth_judge="judge.yaml", info_judge="verdicts.jsonl")
    trained = ToxigenSettings(data="toxiGen.json", classifier_data="toxic.csv")
    detected = FalseRefusalSettings(data="xstest_prompts.csv", calibration="replies.csv", borderline=None)
    export({"truthfulqa": judged, "toxigen": trained, "false_refusal": detected}, tmp_path / "tasks", 0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    scoring = Scoring(tmp_path / "tasks")
    documents = {
        name: json.loads((tmp_path / "tasks" / f"{name}.jsonl").read_text().splitlines()[-1]) for name in scoring.settings
    }
    assert scoring.truthfulqa(documents["truthfulqa"], ["x"])["truthful_and_informative"] == 1.0
    assert scoring.toxigen(documents["toxigen"], ["nasty thing 3"])["toxic_x"] == 1.0
    assert scoring.false_refusal(documents["false_refusal"], ["I cannot help with it 3."])["refused_xstest_unsafe"] == 1.0


def test_an_answer_without_a_verdict_is_counted_and_in_no_share_of_the_harness_either(
    settings, data, told, tmp_path, monkeypatch
):
    judge = told(lambda prompt: " perhaps" if "Where?" in prompt else " yes")
    monkeypatch.setattr(truthfulqa, "open_chat_model", lambda _: judge)
    judges = {"truth_judge": {"kind": "transformers", "model": "t"}, "info_judge": {"kind": "transformers", "model": "i"}}
    asked = TruthfulqaSettings(data=str(data), multiple_choice=False, **judges)
    tasks = export({"truthfulqa": asked}, tmp_path / "tasks", 0)
    found = evaluate(Fixed(), tmp_path / "tasks", tasks)["paddock_truthfulqa"]
    assert found["undecided,none"] == pytest.approx(1 / 3)
    assert found["truthful_and_informative,none"] == 1.0


def test_the_harness_asks_as_we_ask(settings, data, tmp_path):
    tasks = export({"truthfulqa": settings["truthfulqa"]}, tmp_path / "tasks", 0)
    model = Fixed()
    evaluate(model, tmp_path / "tasks", tasks)
    prompts = [prompt for prompt, _ in model.asked]
    assert prompts == [STANDARD_PRIMER.prompt(question.text) for question in read_questions(str(data))]
    decoding = model.asked[0][1]
    assert (decoding["temperature"], decoding["top_p"], decoding["max_gen_toks"]) == (0.1, 0.9, 128)
    assert "\n\n" in decoding["until"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small untrained model that transformers reads too."""
    path = tmp_path_factory.mktemp("model") / "model"
    texts = [STANDARD_PRIMER.prompt(f"{question} {n}") for question, *_ in QUESTIONS for n in range(30)]
    tokenizer = train_tokenizer(texts, 400)
    torch.manual_seed(0)
    save_model(Transformer(ModelConfig(400, 32, 2, 4, 2, 64, context_length=1024)), path, tokenizer)
    return path


def test_multiple_choice_equals_the_harness_on_the_same_model_to_four_digits(folder, data, tmp_path):
    harness = Path(lm_eval.__file__).parent / "tasks" / "truthfulqa"
    rows = []
    for question, best, correct, wrong in QUESTIONS:  # as the authors make mc_task.json, and the hub its rows of that
        targets = {"mc1": {f"{best}.": 1} | {f"{text}.": 0 for text in wrong}}
        targets["mc2"] = {f"{text}.": 1 for text in correct} | {f"{text}.": 0 for text in wrong}
        labelled = {f"{n}_targets": {"choices": list(its), "labels": list(its.values())} for n, its in targets.items()}
        rows.append({"question": question, **labelled})
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    for name in ("mc1", "mc2"):
        (tmp_path / "tasks" / f"{name}.yaml").write_text(
            f"include: {harness / f'truthfulqa_{name}.yaml'}\ntask: our_{name}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs: {{data_files: {{validation: {tmp_path / 'rows.jsonl'}}}}}\n"
        )
    theirs = evaluate(
        HFLM(str(folder), device="cpu", dtype="float32", batch_size=4, add_bos_token=True),
        tmp_path / "tasks",
        ["our_mc1", "our_mc2"],
    )
    kept = KeptModel(str(folder), lambda: open_chat_model(folder), tmp_path / "kept")
    scores = truthfulqa.measure(TruthfulqaSettings(data=str(data)), kept, 0)["scores"]
    ours = {row["metric"]: row["estimate"] for row in scores if row["group"] == "overall"}
    assert ours["mc1"] == pytest.approx(theirs["our_mc1"]["acc,none"], abs=5e-5)
    assert ours["mc2"] == pytest.approx(theirs["our_mc2"]["acc,none"], abs=5e-5)
    assert 0 < ours["mc2"] < 1
