"""Iterations of PPO whose replies are given, under torchrun or alone: `torchrun ... parallel_ppo.py SETTINGS OUT`.

SETTINGS is a JSON file. A prompt is answered with ids that follow from its own, so it has the same reply on any rank; all
else is the stage's: its share of the prompts, rewards, advantages and steps, and an evaluation at the end. The first rank
writes to OUT the figures, the held-out replies, and the weights.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages import ppo
from paddock.stages.ppo_settings import PpoSettings
from paddock.stages.prompts import Prompts
from paddock.train.metrics import MetricsLog
from paddock.train.parallel import processes, whole_state
from paddock.train.rollout import Reply


def given_replies(bench: ppo.Bench, prompts: Prompts, _: tuple[int, ...]) -> list[Reply]:
    """1 to 12 random ids a prompt; every third reply is cut short."""
    replies = []
    for ids in prompts.ids:
        draw = random.Random(str(ids))
        reply = tuple(draw.randrange(3, 320) for _ in range(draw.randint(1, 12)))
        ended = draw.random() < 2 / 3
        reply = (*reply, bench.tokenizer.eos_id) if ended else reply
        replies.append(Reply(ids, reply, (-5.0,) * len(reply), ended))
    return replies


def main(values: dict, out: Path) -> None:
    torch.set_num_threads(1)
    ppo.sample = given_replies
    with processes() as ranks:
        bench = ppo.set_up(parse(PpoSettings, values, "test"), ranks)
        figures = [ppo.iterate(bench, iteration) for iteration in range(3)]
        stage_dir, progress = StageDir(out), ppo.Progress(step=3)
        with MetricsLog(stage_dir.metrics_file, 0, 0, False, ranks.is_first) as log:
            ppo.evaluate(bench, progress, stage_dir, log)
        both = {"policy": bench.models.policy.model, "value": bench.models.value.model}
        weights = {f"{name}.{key}": x for name, model in both.items() for key, x in whole_state(model, ranks).items()}
        if ranks.is_first:
            save_file(weights, out / "weights.safetensors")
            (out / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
