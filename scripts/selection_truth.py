"""What rejection sampling chose, against the truth: how often samples are right, the best of them by reward, and any at all.

    python scripts/selection_truth.py runs/miniature [...]

For each version of each run, on the prompts of helpfulness that it learnt from, in per cent of right answers: of all K
samples, of the one that the newest rewards rank highest, and of the best there is. Intervals of the gain, the chosen less
the mean sample, are over prompts. A gain at or below zero says that the rewards can no longer tell better replies from
worse, whatever reward they give.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from paddock.miniature.graders import grade
from paddock.miniature.tasks import GradedPrompt, read_prompts
from paddock.run_dir import StageDir, read_json_lines
from paddock.stages.rejection import BEST
from paddock.stages.replies import ScoredReply, usable
from paddock.statistics import mean_interval
from paddock.text.dialog import Message

PROMPTS = ("prompts_train.jsonl", "prompts_borderline.jsonl")
Known = dict[tuple[Message, ...], GradedPrompt]


def chosen(version: Path, known: Known) -> Iterator[tuple[list[float], float]]:
    """Of each helpfulness prompt of a version: how right its usable samples are, and how right the chosen one is."""
    stage = version / "rejection"
    best = iter(read_json_lines(stage / BEST))
    temperature = StageDir(stage).read_results()["temperature"]
    for file in sorted((stage / "data" / "replies" / f"t{temperature:g}").glob("*.jsonl")):
        for row in read_json_lines(file):
            replies = usable([ScoredReply.from_row(reply) for reply in row["replies"]])
            if not replies:
                continue
            kept = next(best)
            prompt = known.get(tuple(Message(**message) for message in kept["messages"][:-1]))
            if kept["domain"] == "helpfulness" and prompt and prompt.task.skill != "borderline":
                truths = [grade(prompt.task, reply.text, prompt.constraints).helpfulness for reply in replies]
                yield truths, grade(prompt.task, kept["reply"]["text"], prompt.constraints).helpfulness


def show(run: Path) -> None:
    """Print a row a version."""
    world = run / "world" / "data"
    known = {prompt.dialog.messages: prompt for name in PROMPTS for prompt in read_prompts(world / name)}
    print(f"{run}\n{'version':8} {'prompts':>8} {'samples':>8} {'chosen':>8} {'any':>8}   chosen less samples")
    for version in sorted((run / "rlhf").glob("v*")):
        if not StageDir(version / "rejection").is_complete():
            break
        rows = list(chosen(version, known))
        samples, best, top = (
            np.array([100 * value for value in values])
            for values in zip(*((np.mean(truths), kept, max(truths)) for truths, kept in rows), strict=True)
        )
        gain = mean_interval(list(best - samples))
        interval = f"{gain.estimate:+.1f} ({gain.lower:+.1f} to {gain.upper:+.1f})"
        print(f"{version.name:8} {len(rows):8,} {samples.mean():8.1f} {best.mean():8.1f} {top.mean():8.1f}   {interval}")


def main() -> None:
    """Show each run that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        show(run)


if __name__ == "__main__":
    main()
