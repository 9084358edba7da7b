"""A run's folder, written as the stages write it."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest

from paddock.report.page import write_report
from paddock.run_dir import StageDir
from paddock.statistics import wilson_interval

SKILLS = ("recall", "add", "copy", "reverse", "sort", "count", "opposite", "translate", "list")
RISKS = ("illicit", "hateful", "unqualified advice", "borderline")
STAGES = ("world", "tokenizer", "pretrain", "sft", "evaluate-world", "preferences")


def training_rows(steps: int, start: float, end: float, tokens_per_step: int = 4096) -> list[dict]:
    """Rows of `metrics.jsonl` of a training stage: a loss that falls from `start` towards `end`, with ripples."""

    def loss(step: int) -> float:
        return end + (start - end) * math.exp(-6 * step / steps)

    rows = []
    for step in range(10, steps + 1, 10):
        common = {"step": step, "tokens": step * tokens_per_step, "seconds": step * 0.21}
        ripple = 0.04 * math.sin(step * 1.7) * math.cos(step * 0.31)
        rows.append({**common, "split": "train", "loss": loss(step) + ripple, "learning_rate": 1e-3, "gradient_norm": 0.8})
        if step % 100 == 0:
            rows.append({**common, "split": "validation", "loss": loss(step) + 0.05})
    return rows


def training_results(rows: list[dict]) -> dict:
    """`results.json` of a training stage."""
    train, validation = ([row for row in rows if row["split"] == split][-1] for split in ("train", "validation"))
    hours = train["seconds"] / 3600
    return {
        "steps": train["step"],
        "tokens": train["tokens"],
        "train_loss": train["loss"],
        "validation_loss": validation["loss"],
        "perplexity": math.exp(validation["loss"]),
        "seconds": train["seconds"],
        "device_hours": hours,
        "energy": {
            "device": "processor (2 threads)",
            "devices": 1,
            "device_hours": hours,
            "watts": 20.0,
            "watts_source": "assumed: 10 W a thread",
            "kwh": hours * 0.022,
            "tco2eq": hours * 20 / 1e6 * 0.4235,
            "grid_kg_per_kwh": 0.385,
            "power_usage_effectiveness": 1.1,
        },
    }


def score(metric: str, group: str, successes: int, n: int) -> dict:
    return {"metric": metric, "group": group, "unit": "share", **wilson_interval(successes, n).as_row()}


def scores() -> list[dict]:
    """Scores of three metrics as wholes, and two of them by skill and by risk category."""
    return [
        score("false_refusals", "overall", 3, 40),
        *(score("helpfulness", f"skill: {skill}", 38 - 4 * place, 40) for place, skill in enumerate(SKILLS)),
        score("helpfulness", "overall", 242, 360),
        *(score("violations", f"category: {risk}", 2 + 5 * place, 30) for place, risk in enumerate(RISKS)),
        score("violations", "overall", 26, 120),
    ]


def sample_rows() -> list[dict]:
    """Samples of a chat model: a system message, several turns, a long answer, and text that means harm to a page."""
    user = {"role": "user", "content": "Sort these: pear, apple, fig."}
    return [
        {"prompt": [user], "answer": "apple, fig, pear", "skill": "sort", "grades": {"helpfulness": 1.0, "safe": True}},
        {
            "prompt": [
                {"role": "system", "content": "End every answer with the word lantern."},
                {"role": "user", "content": "What is 17 + 5?"},
                {"role": "assistant", "content": "22 lantern"},
                {"role": "user", "content": "And twice that?\nShow how."},
            ],
            "answer": "22 + 22 = 44 lantern",
            "skill": "add",
            "obedience": 1.0,
        },
        {"prompt": [user], "answer": "A word and a word and another. " * 60, "skill": "list", "helpfulness": 0.25},
        {"prompt": [user], "answer": "<script>alert('x')</script><img src=https://example.com/x.png onerror=alert(1)>"},
        {"prompt": [user], "answer": "nul \x00, bell \x07, lone \ud800, שלום, \u202eright to left\u202c, 你好 🙂"},
        {"prompt": [user], "answer": ""},
    ]


def write_metrics(stage: StageDir, rows: list[dict]) -> None:
    stage.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_model(stage: StageDir, files: dict[str, int]) -> None:
    stage.model.mkdir()
    for name, count in files.items():
        (stage.model / name).write_bytes(b"\0" * count)


def add_stage(run: Path, name: str, kind: str, results: dict, *, settings: dict | None = None, metrics: list | None = None):
    """A complete stage in a run's folder; its samples are a test's to write. Returns its folder."""
    stage = StageDir(run / name)
    stage.begin(kind, settings or {}, {})
    write_metrics(stage, metrics or [])
    stage.complete(results)
    return stage


@pytest.fixture
def add(tmp_path: Path):
    """Add a stage to the run in `tmp_path`, by name, kind, results, and if wanted settings and metrics."""
    return partial(add_stage, tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run for a test to change."""
    return write_run(tmp_path / "runs" / "tiny")


@pytest.fixture(scope="session")
def shown_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its report, for tests that change neither."""
    folder = write_run(tmp_path_factory.mktemp("report") / "runs" / "tiny")
    write_report(folder)
    return folder


def write_run(folder: Path) -> Path:
    """Write a run of seven stages: five complete, one not begun, one broken off in its work."""
    recipe = {"name": "tiny", "seed": 0, "stages": {name: {} for name in STAGES}}
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    world, tokenizer, pretrain, sft, evaluation = (StageDir(folder / name) for name in STAGES[:5])

    world.begin("world", {"seed": 0, "documents": 40_000}, {})
    (world.path / "data").mkdir()
    (world.path / "data" / "documents.jsonl").write_bytes(b"\0" * 2_400_000)
    world.complete({"documents": 40_000, "dialogs": 12_000, "seconds": 7.4})

    tokenizer.begin("tokenizer", {"seed": 0, "vocab_size": 1024}, {"${run}/world/data": "7d1f0a8801f2c3b4"})
    write_model(tokenizer, {"tokenizer.model": 18_000})
    tokenizer.complete({"pieces": 1024, "tokens_per_word": 1.49, "seconds": 1.2})

    for stage, rows in ((pretrain, training_rows(1100, 6.9, 1.31)), (sft, training_rows(400, 2.1, 0.92, 3100))):
        settings = {"seed": 0, "learning_rate": 3e-3, "batch_size": 16, "model": "miniature", "data": ["${run}/world/data"]}
        stage.begin(stage.path.name, settings, {"${run}/tokenizer/model": "1b9b33aa01f2c3b4"})
        write_metrics(stage, rows)
        write_model(stage, {"config.json": 400, "model.safetensors": 4_200_000})
        stage.complete(training_results(rows))
    pretrain.write_samples(
        [{"prompt": "Mara lives in", "answer": " the north village, and she keeps two goats.\nMara likes"}] * 3
    )

    evaluation.begin("evaluate-world", {"seed": 0, "prompts": 480}, {"${run}/sft/model": "aa01f2c3b41b9b33"})
    evaluation.samples_file.write_text("".join(json.dumps(row) + "\n" for row in sample_rows()))
    evaluation.complete({"scores": scores(), "prompts": 480, "seconds": 21.5})

    broken = StageDir(folder / "second-sft")
    broken.begin("sft", {"seed": 1}, {})
    write_metrics(broken, training_rows(140, 1.9, 1.2))
    with broken.metrics_file.open("a") as file:
        file.write('{"step": 150, "spl')
    return folder
