"""The first screen: what the run is, what came of it, where to chat."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from paddock.progress import duration
from paddock.report.blocks import HeadlineFigure
from paddock.report.carbon import GRAMS_A_TONNE, energy_of
from paddock.report.run_folder import Run
from paddock.report.scores import TOLD_IN_TABLES, scores_of
from paddock.report.spine import seconds_of
from paddock.report.wording import compact, finite, mass, sentence

SCORES_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Headline:
    """The top of the page. `chat` is the command that talks with the run's model, None where there is none yet."""

    title: str
    state: str
    figures: tuple[HeadlineFigure, ...]
    chat: str | None


def headline(run: Run) -> Headline:
    """The few figures that matter most, of the run's result or else of the newest stages: scores, a loss, what they cost."""
    figures = (*_scores(run)[:SCORES_SHOWN], *_losses(run)[:1], *_costs(run))
    return Headline(run.name, _state(run), figures, chat_command(run))


def _state(run: Run) -> str:
    complete = sum(stage.state == "complete" for stage in run.stages)
    if complete == len(run.stages):
        return f"All {complete} stages complete"
    now = next((stage.name for stage in run.stages if stage.state == "unfinished"), None)
    return f"{complete} of {len(run.stages)} stages complete" + (f"; {now} is unfinished" if now else "")


def _scores(run: Run) -> list[HeadlineFigure]:
    """Of the last stage that scores the run's result, those of metrics as wholes; a proxy's only where nothing else is."""
    model = f"${{run}}/{run.result}/model"
    ranks = {stage.name: (stage.settings.get("model") == model, stage.kind not in TOLD_IN_TABLES) for stage in run.stages}
    stages = sorted(run.stages, key=lambda stage: ranks[stage.name])
    scored = [wholes for stage in stages if (wholes := [score for score in scores_of(stage) if not score.group])]
    return [
        HeadlineFigure(score.value, sentence(score.metric), f"{score.interval}, n {score.count}")
        for score in (scored[-1] if scored else [])
    ]


def _losses(run: Run) -> list[HeadlineFigure]:
    """Validation losses, of the run's result first, then of the last stage."""
    losses = [
        (stage.name, loss)
        for stage in sorted(run.stages, key=lambda stage: stage.name == run.result)
        if (loss := finite(stage.results.get("validation_loss"))) is not None and "pairs" not in stage.results
    ]
    return [HeadlineFigure(f"{loss:.3f}", f"Loss of {name}", "nats a token, validation") for name, loss in reversed(losses)]


def _costs(run: Run) -> list[HeadlineFigure]:
    seconds = sum(known for stage in run.stages if (known := seconds_of(stage)) is not None)
    tokens = sum(finite(stage.results.get("tokens")) or 0.0 for stage in run.stages if "train_loss" in stage.results)
    tonnes = sum(finite(energy_of(stage).get("tco2eq")) or 0.0 for stage in run.stages)
    figures = []
    if seconds:
        figures.append(HeadlineFigure(duration(seconds), "Time", "work of all stages"))
    if tokens:
        figures.append(HeadlineFigure(compact(tokens), "Tokens", "trained on, all stages"))
    if tonnes:
        figures.append(HeadlineFigure(mass(tonnes * GRAMS_A_TONNE), "CO₂ equivalent", "as in table 2"))
    return figures


def chat_command(run: Run) -> str | None:
    """The command that talks with the model of the run's result, or else of its last stage that left one."""
    models = [
        stage.name for stage in run.stages if stage.state == "complete" and stage.model_hash and stage.kind != "reward"
    ]
    models += [run.result] if run.result in models else []
    return f"paddock chat {shlex.quote(str(run.folder / models[-1] / 'model'))}" if models else None
