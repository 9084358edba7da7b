"""Trains the tiny model of `tiny_run.py` under torchrun, and writes its weights: `torchrun ... parallel_run.py FOLDER JSON`.

The JSON holds `store`, `settings` and `steps`, as there; the rows are short dialogs' worth of unequal loss counts. With
`chat`, a model's folder, a reward model is trained instead, to score the tokens that bear loss highly.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

from paddock.model.blueprint import fresh_model
from paddock.model.checkpoint import reward_model_from
from paddock.model.config import ModelConfig
from paddock.run_dir import StageDir
from paddock.text.packing import Batch, PackedDialogs, TokenStore
from paddock.train.loop import fit, next_token_loss
from paddock.train.parallel import build, processes, whole_state
from paddock.train.settings import TrainingSettings

CONFIG = ModelConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=48, context_length=16)


def score_loss(model: torch.nn.Module, batch: Batch, device: torch.device) -> tuple[torch.Tensor, int]:
    """-log sigmoid of the score, summed over the tokens that bear loss."""
    scores = model(torch.from_numpy(batch.token_ids).to(device), torch.from_numpy(batch.segment_ids).to(device))
    mask = torch.from_numpy(batch.loss_mask).to(device)
    return -functional.logsigmoid(scores[mask]).sum(), int(mask.sum())


def main(folder: Path, job: dict) -> None:
    torch.set_num_threads(1)
    store = TokenStore.open(Path(job["store"]))
    settings = TrainingSettings(
        **{"batch_size": 4, "learning_rate": 3e-3, "precision": "f32", "compile": "off", "log_every": 1, **job["settings"]}
    )
    with processes() as ranks:
        blueprint = reward_model_from(job["chat"], seed=0) if "chat" in job else fresh_model(CONFIG, seed=0)
        model = build(blueprint, settings, ranks)
        train, validation = PackedDialogs(store, 4, 16, 0), PackedDialogs(store, 4, 16, 1)
        stage_dir = StageDir(folder)
        loss = score_loss if "chat" in job else next_token_loss
        fit(model, train, settings, stage_dir, ranks, label="tiny", steps=job["steps"], validation=validation, loss=loss)
        state = whole_state(model, ranks)  # a collective
        if ranks.is_first:
            save_file(state, folder / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
