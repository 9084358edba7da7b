"""Reinforcement learning from human feedback over versions, V1 to V5 (paper sections 3.2.2, 3.2.4 and 4).

Each version is made by the newest models, and is fine-tuned from the same checkpoint, that of supervised fine-tuning:

    ghost-attention       from some version on: the newest policy samples dialogs whose first instruction holds (paper 3.3)
    rejection             the newest policy samples, the newest rewards rank, the best of all versions so far is learnt from
    preferences           replies of this version and of the one before are compared, by the annotators
    reward-helpfulness    both reward models are trained again, from this version, on all preferences so far
    reward-safety
    check                 both versions' replies to held-out prompts, under the fresh rewards, in paired tests

A part is a stage in a sub-folder, `v1/rejection`; a complete one is skipped, a broken one goes on where it was killed. At
the end `model/`, `reward-helpfulness` and `reward-safety` are the last version's, whichever that is: a run may end early,
where a version has regressed, and what follows in a recipe goes on from the version before.
Prompts of both domains are learnt from together: adversarial ones are those of domain safety, which the safety reward ranks.

Departures: the paper's versions up to V3 learnt from their own samples alone, and forgot; here the best of all versions is
learnt from the first on. PPO on top of the last version is a stage of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from paddock.errors import DataError, SettingsError
from paddock.progress import duration, say
from paddock.run_dir import (
    StageDir,
    atomic_folder,
    fingerprint_inputs,
    hash_of,
    model_folder,
    read_json_lines,
    within_run,
)
from paddock.settings import AnySettings, StageSettings, parse
from paddock.stages import ghost_attention, preferences, regression, rejection, reward
from paddock.stages.ghost_attention import GhostAttentionSettings
from paddock.stages.instructions import ScriptSettings
from paddock.stages.preferences import FILES, Annotators, PreferencesSettings
from paddock.stages.regression import CheckSettings
from paddock.stages.rejection import RejectionSettings
from paddock.stages.reward import RewardSettings
from paddock.text.dialog import DOMAINS, Domain
from paddock.text.readers import Source, Sources, read_prompts
from paddock.train.parallel import Ranks, processes

PARTS: dict[str, type[StageSettings]] = {  # a setting that holds the settings of a part -> what they are settings of
    "rejection": RejectionSettings,
    "preferences": PreferencesSettings,
    "helpfulness": RewardSettings,
    "safety": RewardSettings,
}


def _in_parts(names_of: Callable[[type[StageSettings]], frozenset[str]]) -> frozenset[str]:
    """Names of settings of the parts, as they stand in RlhfSettings: `rejection.watts`."""
    return frozenset(f"{part}.{name}" for part, settings in PARTS.items() for name in names_of(settings))


class RlhfSettings(StageSettings):
    """What the versions start from, and the settings of their parts, less what follows from the version."""

    may_change: ClassVar[frozenset[str]] = _in_parts(lambda part: part.may_change) | {"versions"}
    passing: ClassVar[frozenset[str]] = _in_parts(lambda part: part.passing)

    model: str = Field(description="the folder of the fine-tuned checkpoint that every version starts from")
    data: Sources = Field(min_length=1, description="prompts to learn from; adversarial ones have domain safety")
    held_out: Sources = Field(min_length=1, description="prompts on which each version is checked")
    first_preferences: Sources = Field(min_length=1, description="preferences that there are before V1")
    first_held_out_preferences: Sources = Field((), description="preferences to judge reward models by")
    helpfulness_reward: str = Field(description="the folder of the first helpfulness reward model")
    safety_reward: str | None = Field(None, description="the folder of the first safety one; None: helpfulness alone")
    versions: int = Field(5, ge=1, description="how many versions to make (paper 4: five)")
    annotators: str = Field(
        FILES, description="who compares: files, that is people; or the folder of a miniature world, with simulated ones"
    )
    rejection: dict[str, Any] = Field(default_factory=dict, description="settings of rejection in each version")
    preferences: dict[str, Any] = Field(default_factory=dict, description="settings of preferences in each version")
    helpfulness: dict[str, Any] = Field(default_factory=dict, description="settings of reward, for the helpfulness model")
    safety: dict[str, Any] = Field(default_factory=dict, description="settings of reward, for the safety model")
    ghost_attention: dict[str, Any] = Field(
        default_factory=dict,
        description="settings of ghost-attention, whose dialogs later versions learn from too; none: no version does",
    )
    ghost_attention_from: int = Field(3, ge=1, description="the first version that learns from them (paper 3.3: from V3 on)")
    ghost_attention_weight: float = Field(1.0, gt=0, description="how many times an epoch shows each of them")
    stop_on_regression: bool = Field(
        False, description="end with the version before where a version is worse in either domain (p below 0.05)"
    )
    seed: int = Field(0, ge=0, description="of everything random in every version")

    @model_validator(mode="after")
    def _parts_can_be(self) -> RlhfSettings:
        versions = Versions(self, Path())
        versions.rejection(1)
        versions.ghost_attention(self.ghost_attention_from)
        if not versions.preferences(1).held_out_share and not self.first_held_out_preferences:
            raise ValueError("reward models need pairs to be judged by: give first_held_out_preferences or a held_out_share")
        for domain in versions.domains:
            versions.reward(domain, 1)
        return self

    def inputs(self) -> list[str]:
        """The prompts, the first preferences, the models, the world of simulated annotators, and Ghost Attention's data."""
        folders = (
            self.model,
            self.helpfulness_reward,
            self.safety_reward,
            None if self.annotators == FILES else self.annotators,
        )
        sources = (*self.data, *self.held_out, *self.first_preferences, *self.first_held_out_preferences)
        ghost = Versions(self, Path()).ghost_attention(self.ghost_attention_from)
        scripts = ScriptSettings.inputs(ghost) if ghost else []
        return list(dict.fromkeys([source.path for source in sources] + [folder for folder in folders if folder] + scripts))


@dataclass(frozen=True)
class Versions:
    """Where everything of each version lies, and the settings of its parts. Version 0 is what there is before V1."""

    settings: RlhfSettings
    folder: Path

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains that have a reward model."""
        return DOMAINS if self.settings.safety_reward else DOMAINS[:1]

    def part(self, version: int, name: str) -> StageDir:
        """The folder of a part of a version."""
        return StageDir(self.folder / f"v{version}" / name)

    def policy(self, version: int) -> str:
        """The folder of a version's model."""
        return self.settings.model if version == 0 else str(self.part(version, "rejection").model)

    def reward_model(self, domain: Domain, version: int) -> str | None:
        """The folder of the reward model that was trained after a version."""
        if version == 0:
            return self.settings.helpfulness_reward if domain == "helpfulness" else self.settings.safety_reward
        return str(self.part(version, f"reward-{domain}").model) if domain in self.domains else None

    def ghost_attention(self, version: int) -> GhostAttentionSettings | None:
        """How dialogs whose first instruction holds are sampled for a version; None where it does not learn from such."""
        if not self.settings.ghost_attention or version < self.settings.ghost_attention_from:
            return None
        filled = {
            "model": self.policy(version - 1),
            "reward": self.reward_model("helpfulness", version - 1),
            "seed": self._seed(version),
        }
        return fill(GhostAttentionSettings, self.settings.ghost_attention, filled, "rlhf: ghost_attention")

    def rejection(self, version: int) -> RejectionSettings:
        """How a version is sampled, ranked and fine-tuned."""
        settings = self.settings
        filled: dict[str, Any] = {
            "data": settings.data,
            "model": self.policy(version - 1),
            "base": settings.model,
            "helpfulness_reward": self.reward_model("helpfulness", version - 1),
            "safety_reward": self.reward_model("safety", version - 1),
            "earlier": [str(self.part(n, "rejection").path / rejection.BEST) for n in range(1, version)],
            "version": version,
            "seed": self._seed(version),
        }
        if self.ghost_attention(version):
            dialogs = self.part(version, "ghost-attention").path / ghost_attention.DIALOGS
            filled["mixed"] = [Source(path=str(dialogs), weight=settings.ghost_attention_weight)]
        return fill(RejectionSettings, settings.rejection, filled, "rlhf: rejection")

    def preferences(self, version: int) -> PreferencesSettings:
        """How replies of a version and of the one before are sampled to be compared."""
        filled = {
            "data": self.settings.data,
            "model": self.policy(version),
            "other_model": self.policy(version - 1),
            "names": (f"v{version}", f"v{version - 1}"),
            "annotators": self.settings.annotators,
            "seed": self._seed(version),
        }
        return fill(PreferencesSettings, self.settings.preferences, filled, "rlhf: preferences")

    def reward(self, domain: Domain, version: int) -> RewardSettings:
        """How a reward model is trained on all preferences up to a version."""
        given = self.settings.helpfulness if domain == "helpfulness" else self.settings.safety
        filled = {
            "data": self._preferences(self.settings.first_preferences, preferences.TRAIN, version),
            "validation": self._preferences(self.settings.first_held_out_preferences, preferences.HELD_OUT, version),
            "model": self.policy(version),
            "domain": domain,
            "seed": self._seed(version),
        }
        # Nobody can shorten a pair that models wrote: one that is too long is skipped, and counted, unless asked otherwise.
        return fill(RewardSettings, {"overlong": "skip", **given}, filled, f"rlhf: {domain}")

    def check(self, version: int) -> CheckSettings:
        """How a version is compared with the one before."""
        return CheckSettings(
            model=self.policy(version),
            model_before=self.policy(version - 1),
            helpfulness_reward=str(self.reward_model("helpfulness", version)),
            safety_reward=self.reward_model("safety", version),
            data=self.settings.held_out,
            max_new_tokens=self.rejection(version).max_new_tokens,
        )

    def _preferences(self, first: Sequence[Source], name: str, version: int) -> list[Source | str]:
        return [*first, *(str(self.part(n, "preferences").path / name) for n in range(1, version + 1))]

    def _seed(self, version: int) -> int:
        return int(hash_of([self.settings.seed, version]), 16) % 2**32


def fill(cls: type[AnySettings], given: Mapping[str, Any], filled: Mapping[str, Any], where: str) -> AnySettings:
    """The settings of a part: what the recipe gives, and what follows from the stage's own. Raises SettingsError."""
    if both := sorted(given.keys() & filled.keys()):
        raise SettingsError(f"{where}: {', '.join(both)} follow from the stage's other settings: leave them out")
    return parse(cls, {**given, **filled}, where)


def plan(settings: RlhfSettings) -> dict[str, Any]:
    """How many prompts would be read in each version, and how many replies sampled."""
    refuse_shared_prompts(settings)
    prompts, held_out = (sum(1 for _ in read_prompts(sources)) for sources in (settings.data, settings.held_out))
    versions = Versions(settings, Path())
    ghost = versions.ghost_attention(settings.ghost_attention_from)
    return {
        "versions": settings.versions,
        "prompts": prompts,
        "replies_a_version": prompts * versions.rejection(1).replies,
        "held_out_prompts": held_out,
        **({"ghost_attention_replies_a_version": ghost_attention.plan(ghost)["replies"]} if ghost else {}),
    }


def run(settings: RlhfSettings, stage_dir: StageDir, annotators: Annotators) -> dict[str, Any]:
    """Make the versions, one after the other; the last one's model is the stage's. Returns the figures of `results.json`.

    Raises whatever `annotators.collect` raises, such as a PaddockError that it waits for people; the same call goes on; and
    DataError, before any work, where a held-out prompt is one to learn from.
    """
    refuse_shared_prompts(settings)
    versions, figures, last, stopped = Versions(settings, stage_dir.path), [], 0, False
    with processes() as ranks:
        for version in range(1, settings.versions + 1):
            figures.append(make_version(versions, version, annotators, ranks))
            if settings.stop_on_regression and figures[-1]["check"]["regressed"]:
                say(f"rlhf: version {version} is worse than the one before: stopped")
                stopped = True
                break
            last = version
        if ranks.is_first:
            with atomic_folder(stage_dir.model) as temporary:
                shutil.copytree(model_folder(versions.policy(last)), temporary, dirs_exist_ok=True)
            for domain in versions.domains:
                link(stage_dir.path / f"reward-{domain}", Path(str(versions.reward_model(domain, last))))
            stage_dir.write_samples(read_json_lines(versions.part(len(figures), "check").samples_file))
        ranks.wait()
    return {"version": last, "stopped_by_regression": stopped, "versions": figures}


def link(place: Path, target: Path) -> None:
    """Let `place` name the folder `target` from now on, relative to it, so that both can be moved together."""
    if place.is_dir() and not place.is_symlink():  # a run that was copied has a copy of the folder here
        shutil.rmtree(place)
    temporary = place.with_name(f".{place.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, place.parent))
    temporary.replace(place)


def refuse_shared_prompts(settings: RlhfSettings) -> None:
    """Raise DataError where a prompt is both learnt from and held out: no version could be judged by it."""
    learnt = {prompt.messages for prompt in read_prompts(settings.data)}
    shared = [prompt for prompt in read_prompts(settings.held_out) if prompt.messages in learnt]
    if shared:
        raise DataError(
            shared[0].source,
            f"{len(shared):,} held-out prompts, this one the first of them, are among those to learn from too",
            mend="Take them out of data, or out of held_out",
        )


def make_version(versions: Versions, version: int, annotators: Annotators, ranks: Ranks) -> dict[str, Any]:
    """Bring every part of a version to its end. Returns its figures. Every rank must call it."""

    def part(name: str, settings: StageSettings, work: Callable[[StageDir], dict[str, Any]]) -> dict[str, Any]:
        return run_part(versions.part(version, name), f"v{version}/{name}", settings, work, ranks)

    def gather(folder: StageDir) -> dict[str, Any]:
        return preferences.run(preferring, folder, annotators) if ranks.is_first else {}

    def compare(folder: StageDir) -> dict[str, Any]:
        return regression.check(comparing, folder) if ranks.is_first else {}

    def sample_dialogs(folder: StageDir) -> dict[str, Any]:
        return ghost_attention.run(ghost, folder) if ghost and ranks.is_first else {}

    ghost, selecting = versions.ghost_attention(version), versions.rejection(version)
    preferring, comparing = versions.preferences(version), versions.check(version)
    dialogs = part("ghost-attention", ghost, sample_dialogs)["dialogs"] if ghost else 0
    selected = part("rejection", selecting, partial(rejection.run, selecting))
    gathered = part("preferences", preferring, gather)
    accuracy = {}
    for domain in versions.domains:
        judging = versions.reward(domain, version)
        accuracy[domain] = part(f"reward-{domain}", judging, partial(reward.run, judging)).get("accuracy")
    return {
        "version": version,
        **{name: selected[name] for name in ("temperature", "selected", "selected_by_version", "selected_reward")},
        "ghost_attention_dialogs": dialogs,
        "comparisons": gathered["comparisons"],
        "allowed_accuracy": gathered["allowed_accuracy"],
        "reward_accuracy": accuracy,
        "check": part("check", comparing, compare),
    }


def run_part(
    folder: StageDir, name: str, settings: StageSettings, work: Callable[[StageDir], dict[str, Any]], ranks: Ranks
) -> dict[str, Any]:
    """Skip a complete part, resume a broken one, start a new one. The first rank's results are those of all."""
    run_folder = folder.path.parent.parent.parent
    finished = None
    if ranks.is_first:
        inputs = {within_run(run_folder, path): print_ for path, print_ in fingerprint_inputs(settings.inputs()).items()}
        record = within_run(run_folder, settings.model_dump(mode="json"))
        folder.begin(name.partition("/")[2], record, inputs, settings.may_change, settings.passing)
        finished = folder.read_results() if folder.is_complete() else None
    finished = ranks.from_first(finished)
    if finished is not None:
        return finished
    began = time.monotonic()
    results = work(folder)
    if ranks.is_first:
        folder.complete(results)
        say(f"rlhf: {name} took {duration(time.monotonic() - began)}")
    return ranks.from_first(results)
