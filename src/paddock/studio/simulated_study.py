"""A human study whose raters are simulated, through the real web app (paper section 3.4.2).

Two models reply to held-out prompts of the miniature world. Its annotators sign in to a studio that is served on a port of
this machine, read its pages and answer on the seven-point scale, each with a declared noise. So every figure that comes out
can be checked: agreement against what that noise implies, and wins against what it implies and against the graders' truth.

    pairs.jsonl     what is compared
    study/          the study, with its database and exports, as a real one leaves them
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from paddock.errors import DataError
from paddock.evaluate.agreement import agreement
from paddock.evaluate.comparison import compare
from paddock.evaluate.rating_tables import Layout, judgements, rated_items
from paddock.miniature.annotators import ANNOTATORS, SideBySide, likert_chances, utility
from paddock.miniature.tasks import GradedPrompt, read_prompts
from paddock.progress import say
from paddock.protocols import Sampling
from paddock.run_dir import StageDir, write_json_lines
from paddock.settings import StageSettings
from paddock.studio.browsing import Annotator, Shown, browser, served
from paddock.studio.export import write_exports
from paddock.studio.implied import implied_ac2, implied_shares
from paddock.studio.opening import Studio, open_studio
from paddock.studio.people import everybody, make_link
from paddock.studio.study import StudySettings
from paddock.studio.tasks import TASKS
from paddock.text.comparisons import Comparison, read_comparisons
from paddock.text.tables import read_table

HELD_OUT = "prompts_held_out.jsonl"
PAIRS, STUDY = "pairs.jsonl", "study"
WEIGHTS = ("identity", "linear", "quadratic")
SAMPLES = 8
POINTS = TASKS["side-by-side"].points


class SimulatedStudySettings(StageSettings):
    """Which two models, and on how many prompts."""

    model: str = Field(description="the folder of the model whose wins are counted")
    other_model: str = Field(description="the folder of the model to compare with")
    names: tuple[str, str] = Field(("model", "other_model"), description="what the figures call the two")
    data: str = Field(description="the folder of a miniature world: its held-out prompts are asked, its annotators rate")
    prompts: int = Field(150, ge=10, description="prompts to take, drawn by the seed")
    max_new_tokens: int = Field(48, ge=1, description="tokens of a reply, at most; replies are greedy")
    seed: int = Field(0, ge=0, description="of prompts, of the sides, and of the annotators' noise")

    @model_validator(mode="after")
    def _names_differ(self) -> SimulatedStudySettings:
        if self.names[0] == self.names[1]:
            raise ValueError("names must tell the two models apart")
        return self

    def inputs(self) -> list[str]:
        """The models, and the world."""
        return [self.model, self.other_model, self.data]


def plan(settings: SimulatedStudySettings) -> dict[str, Any]:
    """How many replies would be sampled."""
    return {"prompts": settings.prompts, "replies": 2 * settings.prompts}


def run(settings: SimulatedStudySettings, stage_dir: StageDir) -> dict[str, Any]:
    """Sample, serve, rate, export, and count. Returns the figures of `results.json`; a killed study goes on where it was."""
    prompts = list(read_prompts(Path(settings.data) / HELD_OUT))
    pairs_file = stage_dir.path / PAIRS
    if not pairs_file.exists():
        write_json_lines(pairs_file, (pair.to_row() for pair in sample_pairs(settings, prompts)))
    study = StudySettings.model_validate(
        {
            "name": f"{settings.names[0]} against {settings.names[1]}",
            "task": "side-by-side",
            "data": str(pairs_file),
            "raters": len(ANNOTATORS),
            "annotators": [annotator.name for annotator in ANNOTATORS],
            "posts_per_minute": 1_000_000,  # programs are quick
            "seed": settings.seed,
        }
    )
    studio = open_studio(study, stage_dir.path / STUDY)
    began = time.monotonic()
    rated_now = rate_all(studio, [SideBySide(annotator, prompts, settings.seed) for annotator in ANNOTATORS])
    seconds = time.monotonic() - began
    exports = stage_dir.path / STUDY / "export"
    write_exports(studio, exports)
    studio.engine.dispose()
    pairs = list(read_comparisons(pairs_file))
    figures = figures_of(exports / "ratings.csv", pairs, prompts)
    if figures["ratings"] != len(pairs) * len(ANNOTATORS):
        problem = f"it has {figures['ratings']} ratings of {len(pairs)} pairs by {len(ANNOTATORS)} raters"
        raise DataError(exports / "ratings.csv", problem)
    stage_dir.write_samples(sample_rows(pairs))
    main = figures["agreement"][-1]
    say(
        f"study: {figures['ratings']} ratings over HTTP in {seconds:.0f} s; AC2 {main['value']:.3f} ({main['lower']:.3f} to "
        f"{main['upper']:.3f}), and the noise implies {main['implied']:.3f}"
    )
    noise = {annotator.name: annotator.noise for annotator in ANNOTATORS}
    return {**figures, "names": list(settings.names), "noise": noise, "rated_now": rated_now, "rating_seconds": seconds}


def sample_pairs(settings: SimulatedStudySettings, prompts: Sequence[GradedPrompt]) -> list[Comparison]:
    """Both models' greedy replies to prompts that the seed draws; the model whose wins are counted is the file's a."""
    from paddock.backends.open import open_chat_model

    chosen = Random(f"prompts {settings.seed}").sample(range(len(prompts)), min(settings.prompts, len(prompts)))
    asked = [prompts[place].dialog for place in sorted(chosen)]
    sampling = Sampling(temperature=0, max_new_tokens=settings.max_new_tokens)
    sides = []
    for name, folder in zip(settings.names, (settings.model, settings.other_model), strict=True):
        say(f"study: {name} replies to {len(asked):,} prompts")
        sides.append([completion.text for (completion,) in open_chat_model(folder).complete(asked, sampling)])
    return [Comparison(prompt, a, b, *settings.names) for prompt, a, b in zip(asked, *sides, strict=True)]


def rate_all(studio: Studio, raters: Sequence[SideBySide]) -> int:
    """Have every rater sign in and answer whatever there is for them, all at once; returns the answers of this time."""
    links = {person.name: make_link(studio.engine, person.id) for person in everybody(studio.engine)}

    def work(rater: SideBySide) -> int:
        def judge(shown: Shown) -> dict[str, str]:
            texts = [text for _, text in shown.messages]
            return {"rating": str(rater.rate(texts, shown.replies["reply-a"], shown.replies["reply-b"]))}

        with browser(address) as client:
            annotator = Annotator(client)
            annotator.enter(links[rater.annotator.name])
            return annotator.answer_all(judge)

    with served(studio) as address, ThreadPoolExecutor(len(raters)) as pool:
        return sum(pool.map(work, raters))


def figures_of(ratings_file: Path, pairs: Sequence[Comparison], prompts: Sequence[GradedPrompt]) -> dict[str, Any]:
    """Agreement and shares as the exported table gives them, beside what the noise implies and what is true."""
    table = read_table(ratings_file)
    rated = rated_items(table, Layout(), POINTS).ratings
    known = {prompt.dialog.messages: prompt for prompt in prompts}
    asked = [known[pair.prompt.messages] for pair in pairs]
    advantages = [
        utility(prompt, pair.reply_a) - utility(prompt, pair.reply_b) for prompt, pair in zip(asked, pairs, strict=True)
    ]
    chances = np.array([[likert_chances(advantage, one.noise) for one in ANNOTATORS] for advantage in advantages])
    coefficients = []
    for weights in WEIGHTS:
        found = agreement(rated, "ac2", weights)
        row = {"weights": weights, "value": found.value, "lower": found.lower, "upper": found.upper, "n": found.n}
        coefficients.append({**row, "implied": implied_ac2(chances, weights)})
    (pair,) = compare(judgements(table, Layout())).pairs
    measured = pair.as_row()  # of the model that stands first in every row
    signs = np.sign(advantages)
    truth = {"win": signs > 0, "tie": signs == 0, "loss": signs < 0}
    implied = implied_shares(chances)
    shares = {
        name: {**measured[name], "implied": implied[name], "truth": float(truth[name].mean())}
        for name in ("win", "tie", "loss")
    }
    return {
        "pairs": len(pairs),
        "ratings": table.rows,
        "raters": len(ANNOTATORS),
        "agreement": coefficients,
        "shares": shares,
    }


def sample_rows(pairs: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Some pairs, for the report: a row a reply."""
    return [
        {"model": name, "prompt": pair.to_row()["prompt"], "answer": reply}
        for pair in pairs[:SAMPLES]
        for name, reply in ((pair.model_a, pair.reply_a), (pair.model_b, pair.reply_b))
    ]
