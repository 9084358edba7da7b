"""Ghost Attention (paper section 3.3): dialogs in which the first turn's instruction holds to the end, to fine-tune on.

The instruction is joined to every user message, and the newest RLHF model replies turn by turn. In what is learnt from, the
instruction then stands on the first turn alone, and only the last reply bears loss: every token of earlier turns, those of
earlier replies too, has none. So a model learns to act on an instruction that lies far back. The result is a data set like
any other: stage sft mixes it with others by weight.

    dialogs.jsonl     to learn from: `"loss": "last"`
    scripts.jsonl     the user's messages and instructions of the same dialogs: what a control samples again
    lists.yaml        what instructions were drawn from, held-out values too: `lists` of the check; none where none was drawn
    data/replies/     64 scripts a file, whole or not at all: a kill loses at most one

Departures: the paper does not say whether replies that disobey are learnt from. Here each must keep the instruction, by rule
or by a judge, and where there is a reward may not fall below a bound; of `replies` to a turn the first such one is taken
(the best, where there is a reward); where there is none the dialog ends. `cuts` makes dialogs of many lengths of one: learnt
on a single length, obedience holds at that length alone. `history` is for a model whose context cannot hold twenty turns
with their instructions: it sees the last few, each with the instruction. `joined: first` is the control: the same dialogs,
with replies sampled as a model without Ghost Attention meets them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, model_validator

from paddock.backends.open import open_chat_model, open_scorer
from paddock.backends.spec import spec_inputs
from paddock.errors import DataError
from paddock.evaluate.obedience import Answered, Obedience, read_speaks
from paddock.progress import say
from paddock.protocols import ChatModel, Completion, Sampling, Scorer
from paddock.run_dir import StageDir, atomic_write, hash_of, read_json_lines, remove_leftovers, write_json_lines
from paddock.stages.instructions import ScriptSettings, instructed, lengths_up_to, lists_of, read
from paddock.stages.replies import probability
from paddock.text.chat_format import tag_in
from paddock.text.constraint_values import known_and_new
from paddock.text.dialog import Dialog
from paddock.text.scripts import Script, as_dialog, as_sampled, message_rows

DIALOGS, SCRIPTS, LISTS = "dialogs.jsonl", "scripts.jsonl", "lists.yaml"
SCRIPTS_A_CHUNK = 64
TAKEN = "taken"  # the fate of a reply that may be learnt from


class GhostAttentionSettings(ScriptSettings):
    """Who replies to which dialogs, and which replies are learnt from."""

    model: str = Field(description="the chat model, a folder or a spec, that replies (paper 3.3: the latest RLHF model)")
    joined: Literal["every", "first"] = Field(
        "every", description="user messages that the instruction is joined to while sampling; first: the control"
    )
    history: int | None = Field(
        None, ge=0, description="earlier turns that the model sees while sampling, where joined is every; None: all"
    )
    cuts: int | None = Field(
        None, ge=1, description="turns of a dialog, drawn by chance, that each end one to learn from; None: its last"
    )
    keep: Literal["obedient", "all"] = Field("obedient", description="replies to learn from; all: whatever they say")
    replies: int = Field(1, ge=1, description="replies sampled to each turn, of which one is taken")
    temperature: float = Field(0.7, ge=0, description="of sampling; 0 is greedy")
    reward: str | None = Field(None, description="the folder of a reward model: the best reply that obeys is taken")
    min_reward: float = Field(0.0, ge=0, le=1, description="sigmoid of the reward; a reply below it is not learnt from")

    @model_validator(mode="after")
    def _can_choose(self) -> GhostAttentionSettings:
        if self.min_reward and not self.reward:
            raise ValueError("min_reward is a bound of a reward: give reward, the folder of a reward model")
        return self

    def inputs(self) -> list[str]:
        """The dialogs, and the models."""
        return [*super().inputs(), *spec_inputs(self.model), *(spec_inputs(self.reward) if self.reward else [])]


def plan(settings: GhostAttentionSettings) -> dict[str, Any]:
    """How many replies would be sampled, at most."""
    scripts = cut(read(settings, lengths_up_to), settings.cuts, settings.seed)
    turns = sum(max(script.cuts) for script in scripts)
    return {
        "dialogs": len(scripts),
        "dialogs_to_learn_from_at_most": sum(len(script.cuts) for script in scripts),
        "replies": turns * settings.replies,
        "new_tokens_at_most": turns * settings.replies * settings.max_new_tokens,
    }


def run(settings: GhostAttentionSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Sample, filter, and write the dialogs to learn from. Returns the figures of `results.json`.

    Raises DataError where no reply is left to learn from.
    """
    sampler = Sampler.open(settings)
    scripts = read(settings, lengths_up_to)
    lists = lists_of(settings, scripts, lambda: sampler.model)
    known, new = known_and_new(lists, settings.held_out_values)
    scripts = instructed(scripts, {"": known}, settings.most_constraints, f"ghost attention {settings.seed}")
    scripts = cut(scripts, settings.cuts, settings.seed)
    if lists:
        content = yaml.safe_dump({kind: list(some) for kind, some in lists.items()}, allow_unicode=True)
        atomic_write(stage_dir.path / LISTS, content)
    folder = stage_dir.data / "replies"
    if folder.exists():
        remove_leftovers(folder)
    sampled, fates = [], Counter[str]()
    for chunk, first in enumerate(range(0, len(scripts), SCRIPTS_A_CHUNK)):
        file = folder / f"{chunk:06}.jsonl"
        if not file.exists():
            write_json_lines(file, sampler.sample(scripts[first : first + SCRIPTS_A_CHUNK], chunk))
            say(f"ghost-attention: {min(first + SCRIPTS_A_CHUNK, len(scripts)):,} of {len(scripts):,} dialogs sampled")
        for row in read_json_lines(file):
            sampled.append(tuple(row["replies"]))
            fates.update(row["fates"])
    pairs = list(zip(scripts, sampled, strict=True))
    dialogs = [row for script, replies in pairs for row in dialog_rows(settings, script, replies)]
    if not dialogs:
        raise DataError(settings.data[0].path, f"of {len(scripts):,} dialogs none got replies to learn from: {dict(fates)}")
    write_json_lines(stage_dir.path / DIALOGS, dialogs)
    write_json_lines(stage_dir.path / SCRIPTS, (row for script, replies in pairs for row in script_rows(script, replies)))
    stage_dir.write_samples(
        {"prompt": row["messages"][:-1], "answer": row["messages"][-1]["content"]} for row in dialogs[:24]
    )
    say(f"ghost-attention: {len(dialogs):,} dialogs to learn from in {stage_dir.path / DIALOGS}")
    drawn = {"lists": {kind: list(some) for kind, some in known.items()}, "held_out_values": new}
    return {**figures_of(pairs, dialogs, fates), **drawn}


def cut(scripts: Sequence[Script], cuts: int | None, seed: int) -> list[Script]:
    """Draw the turns at which each dialog to learn from ends, each turn alike; those that a script has already stay."""
    found = []
    for place, script in enumerate(scripts):
        turns = len(script.turns)
        drawn = Random(f"cuts {seed} {place}").sample(range(1, turns + 1), min(cuts, turns)) if cuts else [turns]
        found.append(script if script.cuts else replace(script, cuts=tuple(sorted(drawn))))
    return found


class Judged(NamedTuple):
    """A reply, what becomes of it, and its worth to the reward."""

    text: str
    fate: str
    worth: float


@dataclass(frozen=True)
class Sampler:
    """The model that replies, and what decides which reply is taken."""

    settings: GhostAttentionSettings
    model: ChatModel
    obedience: Obedience
    reward: Scorer | None

    @staticmethod
    def open(settings: GhostAttentionSettings) -> Sampler:
        """Open the models. Raises CheckpointError where a folder holds none."""
        judge = open_chat_model(settings.judge) if settings.judge else None
        obedience = Obedience(read_speaks(settings.vocabularies), judge)
        reward = open_scorer(settings.reward) if settings.reward else None
        return Sampler(settings, open_chat_model(settings.model), obedience, reward)

    def sample(self, scripts: Sequence[Script], chunk: int) -> list[dict[str, Any]]:
        """Reply to `scripts`, all of them a turn at a time, as far as replies can be learnt from: a row a script."""
        replies: list[tuple[str, ...]] = [() for _ in scripts]
        fates: list[Counter[str]] = [Counter() for _ in scripts]
        going = list(range(len(scripts)))
        for turn in range(max(max(script.cuts) for script in scripts)):
            going = [at for at in going if len(replies[at]) == turn < max(scripts[at].cuts)]
            prompts = [self.prompt(scripts[at], replies[at]) for at in going]
            sampling = Sampling(
                n=self.settings.replies,
                temperature=self.settings.temperature,
                max_new_tokens=self.settings.max_new_tokens,
                seed=int(hash_of([self.settings.seed, "ghost attention", chunk, turn]), 16),
            )
            answers = self.model.complete(prompts, sampling) if prompts else []
            judged = self.judged([scripts[at] for at in going], turn, prompts, answers)
            for at, some in zip(going, judged, strict=True):
                fates[at].update(reply.fate for reply in some)
                good = [reply for reply in some if reply.fate == TAKEN]
                if good:
                    best = max(good, key=lambda reply: reply.worth)  # the first one of equals
                    replies[at] = (*replies[at], best.text)
        return [{"replies": list(some), "fates": dict(counts)} for some, counts in zip(replies, fates, strict=True)]

    def prompt(self, script: Script, replies: tuple[str, ...]) -> Dialog:
        """What the model replies to next."""
        if self.settings.joined == "first":
            return as_dialog(script, replies, self.settings.slot)
        return as_sampled(script, replies, self.settings.slot, self.settings.history)

    def judged(
        self, scripts: Sequence[Script], turn: int, prompts: Sequence[Dialog], answers: Sequence[Sequence[Completion]]
    ) -> list[list[Judged]]:
        """For each prompt its replies, judged."""
        flat = [(script, prompt, c) for script, prompt, some in zip(scripts, prompts, answers, strict=True) for c in some]
        asked = [Answered(script.constraints, script.turns[turn], c.text) for script, _, c in flat]
        verdicts = [None] * len(flat) if self.settings.keep == "all" else self.obedience.verdicts(asked)
        worths = self.worths([prompt.with_reply(c.text) for _, prompt, c in flat])
        judged = iter(
            Judged(c.text, self.fate(c, verdict, worth), worth or 0.0)
            for (_, _, c), verdict, worth in zip(flat, verdicts, worths, strict=True)
        )
        return [[next(judged) for _ in some] for some in answers]

    def worths(self, dialogs: Sequence[Dialog]) -> list[float | None]:
        """The sigmoid of each reply's reward, None where the model failed to score it; nought where there is no reward."""
        if self.reward is None:
            return [0.0] * len(dialogs)
        sound = [place for place, dialog in enumerate(dialogs) if not unusable(dialog.messages[-1].content)]
        scores = dict(zip(sound, self.reward.score([dialogs[place] for place in sound]), strict=True))
        logits = [scores.get(place) for place in range(len(dialogs))]
        return [None if logit is None else probability(logit) for logit in logits]

    def fate(self, completion: Completion, obeys: bool | None, worth: float | None) -> str:
        """What becomes of a reply, in a word or two; `TAKEN` where nothing speaks against it."""
        if completion.finish_reason != "stop":
            return "no room" if completion.finish_reason == "error" else "cut short"
        if problem := unusable(completion.text):
            return problem
        if self.settings.keep == "obedient" and obeys is not True:
            return "undecided" if obeys is None else "disobeys"
        if worth is None:
            return "no score"
        return "below min_reward" if worth < self.settings.min_reward else TAKEN


def unusable(text: str) -> str | None:
    """Why no dialog can hold a reply, or None."""
    return "empty" if not text.strip() else "a tag of the chat format" if tag_in(text) else None


def kept_cuts(script: Script, replies: tuple[str, ...]) -> tuple[int, ...]:
    """The turns up to which every reply could be taken."""
    return tuple(turn for turn in script.cuts if turn <= len(replies))


def dialog_rows(settings: GhostAttentionSettings, script: Script, replies: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A dialog to learn from for each cut: the instruction on its first turn alone, loss on its last reply alone."""
    for turn in kept_cuts(script, replies):
        shortened = replace(script, turns=script.turns[:turn])
        yield {
            "id": f"{script.id}-{turn}",
            "messages": message_rows(as_dialog(shortened, replies[:turn], settings.slot)),
            "loss": "last",
            "constraints": [constraint.to_row() for constraint in script.constraints],
        }


def script_rows(script: Script, replies: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The script with those of its cuts that gave a dialog; nothing where none did."""
    if cuts := kept_cuts(script, replies):
        yield replace(script, turns=script.turns[: max(cuts)], cuts=cuts).to_row()


def figures_of(
    pairs: Sequence[tuple[Script, tuple[str, ...]]], dialogs: Sequence[dict[str, Any]], fates: Counter[str]
) -> dict[str, Any]:
    """Counts of what was sampled and what became of it; of dialogs to learn from, by kind and by length."""
    wanted = sum(len(script.cuts) for script, _ in pairs)
    kinds = Counter(" + ".join(constraint["kind"] for constraint in row["constraints"]) for row in dialogs)
    lengths = Counter(sum(message["role"] == "user" for message in row["messages"]) for row in dialogs)
    return {
        "scripts": len(pairs),
        "replies": fates.total(),
        "fates": dict(fates),
        "dialogs": len(dialogs),
        "dialogs_given_up": wanted - len(dialogs),
        "dialogs_by_kind": dict(kinds),
        "dialogs_by_turns": {str(turns): lengths[turns] for turns in sorted(lengths)},
    }
