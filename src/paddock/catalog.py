"""Every stage by its name, for recipes and commands: its settings, what it would do, and doing it.

Here alone the miniature world meets the stages: its simulated annotators answer where people would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddock.errors import DataError, SettingsError, did_you_mean
from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.settings import StageSettings

if TYPE_CHECKING:
    from paddock.miniature.tasks import GradedPrompt
    from paddock.safety.corpus.settings import CorpusSettings
    from paddock.stages.context_distillation import ContextDistillationSettings
    from paddock.stages.preferences import Annotators, PreferencesSettings
    from paddock.stages.red_team import Judge, RedTeamSettings
    from paddock.stages.refusals import Refuses
    from paddock.stages.rlhf import RlhfSettings
    from paddock.stages.safety_scaling import SafetyScalingSettings
    from paddock.text.dialog import Dialog

WORLD_PROMPTS = ("prompts_train.jsonl", "prompts_borderline.jsonl", "prompts_held_out.jsonl")
"""The files of a world whose prompts its annotators know, as far as they are there."""
WORLD_TRUTH = "truth.json"  # the file by which a world's folder is told


@dataclass(frozen=True)
class Stage:
    """What a recipe and the command line need of a stage: settings, what it would do, and doing it.

    Under `torchrun`, a parallel stage runs in every process, any other in the first alone.
    """

    settings: type[StageSettings]
    plan: Callable[[Any], dict[str, Any]]
    run: Callable[[Any, StageDir], dict[str, Any]]
    is_parallel: bool = False


def find_stage(name: str) -> Stage:
    """The stage called `name`. Raises SettingsError that names the nearest one."""
    if name not in STAGE_LOADERS:
        raise SettingsError(f'"{name}" is not a stage: {", ".join(STAGES)}.{did_you_mean(name, STAGES)}')
    return STAGE_LOADERS[name]()


def _world() -> Stage:
    from paddock.miniature import world

    return Stage(world.WorldSettings, world.plan, world.run)


def _corpus() -> Stage:
    from paddock.safety.corpus.settings import CorpusSettings
    from paddock.stages import corpus

    return Stage(CorpusSettings, corpus.plan, _run_corpus)


def _tokenizer() -> Stage:
    from paddock.stages import tokenizer

    return Stage(tokenizer.TokenizerSettings, tokenizer.plan, tokenizer.run)


def _pretrain() -> Stage:
    from paddock.stages import pretrain

    return Stage(pretrain.PretrainSettings, pretrain.plan, pretrain.run, is_parallel=True)


def _sft() -> Stage:
    from paddock.stages import sft

    return Stage(sft.SftSettings, sft.plan, sft.run, is_parallel=True)


def _preferences() -> Stage:
    from paddock.stages import preferences

    return Stage(preferences.PreferencesSettings, preferences.plan, _run_preferences)


def _reward() -> Stage:
    from paddock.stages import reward

    return Stage(reward.RewardSettings, reward.plan, reward.run, is_parallel=True)


def _rejection() -> Stage:
    from paddock.stages import rejection

    return Stage(rejection.RejectionSettings, rejection.plan, rejection.run, is_parallel=True)


def _rlhf() -> Stage:
    from paddock.stages import rlhf

    return Stage(rlhf.RlhfSettings, rlhf.plan, _run_rlhf, is_parallel=True)


def _ppo() -> Stage:
    from paddock.stages import ppo, ppo_settings

    return Stage(ppo_settings.PpoSettings, ppo_settings.plan, ppo.run, is_parallel=True)


def _ghost_attention() -> Stage:
    from paddock.stages import ghost_attention

    return Stage(ghost_attention.GhostAttentionSettings, ghost_attention.plan, ghost_attention.run)


def _consistency() -> Stage:
    from paddock.stages import consistency

    return Stage(consistency.ConsistencySettings, consistency.plan, consistency.run)


def _compare_rewards() -> Stage:
    from paddock.stages import compare_rewards

    return Stage(compare_rewards.CompareRewardsSettings, compare_rewards.plan, compare_rewards.run)


def _context_distillation() -> Stage:
    from paddock.stages import context_distillation

    settings = context_distillation.ContextDistillationSettings
    return Stage(settings, context_distillation.plan, _run_context_distillation)


def _safety_scaling() -> Stage:
    from paddock.stages import safety_scaling

    return Stage(safety_scaling.SafetyScalingSettings, safety_scaling.plan, _run_safety_scaling, is_parallel=True)


def _red_team() -> Stage:
    from paddock.stages import red_team

    return Stage(red_team.RedTeamSettings, red_team.plan, _run_red_team)


def _red_team_world() -> Stage:
    from paddock.stages import red_team_world

    return Stage(red_team_world.RedTeamWorldSettings, red_team_world.plan, red_team_world.run)


def _study() -> Stage:
    from paddock.studio import simulated_study

    return Stage(simulated_study.SimulatedStudySettings, simulated_study.plan, simulated_study.run)


def _evaluate_world() -> Stage:
    from paddock.stages import evaluate_world

    return Stage(evaluate_world.EvaluateWorldSettings, evaluate_world.plan, evaluate_world.run)


def _judge() -> Stage:
    from paddock.stages import judge

    return Stage(judge.JudgeSettings, judge.plan, judge.run)


def _reward_curve() -> Stage:
    from paddock.stages import reward_curve

    return Stage(reward_curve.RewardCurveSettings, reward_curve.plan, reward_curve.run)


def _reward_human() -> Stage:
    from paddock.stages import reward_human

    return Stage(reward_human.RewardHumanSettings, reward_human.plan, reward_human.run)


def _world_benchmarks() -> Stage:
    from paddock.miniature import benchmarks

    return Stage(benchmarks.WorldBenchmarksSettings, benchmarks.plan, benchmarks.run)


def _benchmark() -> Stage:
    from paddock.stages import benchmark

    return Stage(benchmark.BenchmarkSettings, benchmark.plan, benchmark.run)


def _benchmark_truth() -> Stage:
    from paddock.stages import benchmark_truth

    return Stage(benchmark_truth.BenchmarkTruthSettings, benchmark_truth.plan, benchmark_truth.run)


STAGE_LOADERS: dict[str, Callable[[], Stage]] = {  # modules are imported when asked for, so that light commands start fast
    "world": _world,
    "corpus": _corpus,
    "tokenizer": _tokenizer,
    "pretrain": _pretrain,
    "sft": _sft,
    "preferences": _preferences,
    "reward": _reward,
    "rejection": _rejection,
    "rlhf": _rlhf,
    "ppo": _ppo,
    "ghost-attention": _ghost_attention,
    "consistency": _consistency,
    "compare-rewards": _compare_rewards,
    "context-distillation": _context_distillation,
    "safety-scaling": _safety_scaling,
    "red-team": _red_team,
    "red-team-world": _red_team_world,
    "study": _study,
    "evaluate-world": _evaluate_world,
    "judge": _judge,
    "reward-curve": _reward_curve,
    "reward-human": _reward_human,
    "world-benchmarks": _world_benchmarks,
    "benchmark": _benchmark,
    "benchmark-truth": _benchmark_truth,
}
STAGES = tuple(STAGE_LOADERS)


def _run_corpus(settings: CorpusSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Count, and draw the page of what was counted."""
    from paddock.report.corpus_page import write_corpus_report
    from paddock.stages import corpus

    results = corpus.run(settings, stage_dir)
    write_corpus_report(stage_dir.path, settings.compare, stage_dir.path.name)
    return results


def _run_preferences(settings: PreferencesSettings, stage_dir: StageDir) -> dict[str, Any]:
    from paddock.stages import preferences

    return preferences.run(settings, stage_dir, find_annotators(settings.annotators, settings.seed))


def _run_rlhf(settings: RlhfSettings, stage_dir: StageDir) -> dict[str, Any]:
    from paddock.stages import rlhf

    return rlhf.run(settings, stage_dir, find_annotators(settings.annotators, settings.seed))


def _run_context_distillation(settings: ContextDistillationSettings, stage_dir: StageDir) -> dict[str, Any]:
    from paddock.stages import context_distillation

    return context_distillation.run(settings, stage_dir, find_refusals(settings.refusals))


def _run_safety_scaling(settings: SafetyScalingSettings, stage_dir: StageDir) -> dict[str, Any]:
    from paddock.stages import safety_scaling

    return safety_scaling.run(settings, stage_dir, find_refusals(settings.refusals))


def find_refusals(who: str) -> Refuses | None:
    """Who tells refusals: nobody (None), the rule of the miniature world, or a detector that learns from labelled replies.

    A refusal in part is one too. Raises SettingsError for anything else.
    """
    from paddock.stages.refusals import MINIATURE, NOBODY

    if who == NOBODY:
        return None
    if who == MINIATURE:
        from paddock.miniature.graders import is_refusal

        return lambda dialogs: [is_refusal(dialog.messages[-1].content) for dialog in dialogs]
    if not Path(who).exists():
        raise SettingsError(
            f"refusals is {who!r}: {NOBODY}, {MINIATURE}, or a file or folder of labelled replies (XSTest's)"
        )

    from paddock.safety.benchmarks.refusals import COMPLIANCE, RefusalDetector, read_labelled

    detector = RefusalDetector.calibrated(read_labelled(who))
    say(detector.in_words())
    return lambda dialogs: [label != COMPLIANCE for label in detector.labels([d.messages[-1].content for d in dialogs])]


def _run_red_team(settings: RedTeamSettings, stage_dir: StageDir) -> dict[str, Any]:
    from paddock.stages import red_team

    return red_team.run(settings, stage_dir, find_judge(settings))


def find_judge(settings: RedTeamSettings) -> Judge | None:
    """Who judges a new version's replies: people (None), the simulated raters of a world, or a safety reward model."""
    from paddock.stages import red_team

    if settings.judge == red_team.PEOPLE or settings.model is None:
        return None
    if not (Path(settings.judge) / WORLD_TRUTH).is_file():
        return red_team.open_scorer_judge(settings)

    from paddock.miniature.red_team import votes_on
    from paddock.miniature.requests import RISK_CATEGORIES

    def votes(dialog: Dialog) -> list[int]:
        if dialog.risk_category not in RISK_CATEGORIES:
            mend = f"They know {', '.join(RISK_CATEGORIES)}: let people or a reward model judge other logs"
            raise DataError(settings.judge, f"its raters cannot judge {dialog.id}", field="risk_category", mend=mend)
        return list(votes_on(dialog.risk_category, dialog, settings.seed).values())

    return lambda dialogs: [red_team.Verdict.of(votes(dialog)) for dialog in dialogs]


def find_annotators(who: str, seed: int) -> Annotators:
    """Who compares replies: people, through files, or the simulated annotators of the miniature world in a folder."""
    from paddock.stages import preferences

    if who == preferences.FILES:
        return preferences.Annotators(preferences.from_file)

    from paddock.miniature import annotators, tasks
    from paddock.text.comparisons import read_comparisons

    def prompts() -> Iterator[GradedPrompt]:
        files = (Path(who) / name for name in WORLD_PROMPTS)
        return chain.from_iterable(tasks.read_prompts(file) for file in files if file.is_file())

    return preferences.Annotators(
        collect=lambda pairs_file: annotators.annotate(read_comparisons(pairs_file), prompts(), seed),
        allowed_accuracy=lambda held_out: annotators.allowed_accuracy(held_out, prompts()),
    )
