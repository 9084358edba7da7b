"""A step of PPO on given replies, under torchrun or alone: `torchrun ... parallel_ppo.py FOLDER OUT`.

FOLDER holds `model`, a language model, and `reward`, which the value model begins as. Each rank takes its share of the
replies; the first writes to OUT the weights of both after the step, and what it came to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from paddock.model.checkpoint import model_from, value_model_from
from paddock.train.actor_critic import make_ready
from paddock.train.parallel import build, processes, whole_state
from paddock.train.ppo import explained_variance, whiten
from paddock.train.rollout import Reply
from paddock.train.settings import TrainingSettings

SETTINGS = TrainingSettings(batch_size=8, learning_rate=1e-2, precision="f32", compile="off")


def replies() -> list[Reply]:
    """Random ids of unequal lengths, the longest on the second rank."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 40, (length,), generator=generator).tolist())

    return [Reply(ids(2 + n), ids(3 + n), (0.0,) * (3 + n), ended=False) for n in range(8)]


def main(folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with processes() as ranks:
        policy, reference = (build(model_from(folder / "model"), SETTINGS, ranks) for _ in range(2))
        value = build(value_model_from(folder / "reward"), SETTINGS, ranks)
        models = make_ready(policy, reference, value, SETTINGS, ranks, tokens=0, shared_layers=0)
        share = ranks.share(8)
        mine = [replies()[place] for place in share]
        rollout = models.roll_out(mine, temperature=0.7, mini_batch_size=len(mine), rows=2)
        lengths = torch.arange(rollout.mask.shape[1]) + 10.0 * torch.tensor(list(share))[:, None]
        advantages = whiten(lengths.sin(), rollout.mask, ranks)
        returns = lengths.cos().where(rollout.mask, 0.0)
        (mini_batch,) = rollout.mini_batches
        clips = {"clip_range": 0.2, "value_clip_range": 0.2}
        found = models.accumulate(rollout, mini_batch, advantages, returns, temperature=0.7, **clips, learns=True)
        explained = explained_variance(rollout.values, returns, rollout.mask, ranks)
        models.step(found, 1e-2, 1e-2, 1.0)
        both = {"policy": models.policy.model, "value": models.value.model}
        weights = {f"{name}.{key}": x for name, model in both.items() for key, x in whole_state(model, ranks).items()}
        if ranks.is_first:
            out.mkdir()
            save_file(weights, out / "weights.safetensors")
            norms = {"norm": found.policy_norm, "value_norm": found.value_norm}
            figures = {**found.sums, "tokens": found.tokens, "explained": explained, **norms}
            (out / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
