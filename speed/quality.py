"""Is the training as good as the peer's? The same shape on the same tokens, by transformers' Trainer, and a 5-gram model.

    python speed/quality.py runs/your-data/pretrain

Reads a finished pretraining stage: its encoded data, its settings and its validation loss. Trains a LlamaForCausalLM of that
shape from transformers' own initial weights with its Trainer (same windows, batch, steps, optimizer and schedule, lowest
validation loss, another order of rows), counts an interpolated Kneser-Ney 5-gram on the same tokens, and prints all three
losses in nats a token on the same validation windows.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import kneser_ney
import numpy as np
import torch
from torch.utils.data import Dataset

from paddock.model.checkpoint import describe, load_model, read_config
from paddock.run_dir import StageDir
from paddock.text.packing import DocumentWindows, TokenStore
from paddock.text.tokenizer import Tokenizer


class Windows(Dataset):
    """The windows of a store as transformers wants them: T + 1 tokens, of which the first is never a target."""

    def __init__(self, store: TokenStore, context: int) -> None:
        tokens = np.asarray(store.tokens, np.int64)
        self.rows = [tokens[start : start + context + 1] for start in range(0, len(tokens) - 1, context)]
        self.length = context + 1

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        row = self.rows[place]
        padding = self.length - len(row)
        return {
            "input_ids": torch.from_numpy(np.pad(row, (0, padding))),
            "labels": torch.from_numpy(np.pad(row, (0, padding), constant_values=-100)),
        }


def train_with_transformers(stage: StageDir, train: Windows, validation: Windows, steps: int, seed: int) -> float:
    """The lowest validation loss that Trainer reaches, by its own evaluation."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed

    settings, results = stage.read_settings()["settings"], stage.read_results()
    config = describe(read_config(stage.model), torch.float32)
    set_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in config.items() if key != "architectures"}))
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in load_model(stage.model).parameters())
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=settings["batch_size"],
            per_device_eval_batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            warmup_steps=settings["warmup_steps"],
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": settings["final_learning_rate"]},
            weight_decay=settings["weight_decay"],
            adam_beta1=0.9,
            adam_beta2=0.95,
            adam_epsilon=1e-5,
            max_grad_norm=settings["clip"],
            bf16=results["precision"] == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            eval_strategy="steps",
            eval_steps=settings["evaluate_every"],
            save_strategy="no",
            report_to="none",
            logging_steps=settings["evaluate_every"],
            seed=seed,
        )
        trainer = Trainer(model, arguments, train_dataset=train, eval_dataset=validation)
        trainer.train()
    return min(row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", type=Path, help="the folder of a finished pretraining stage")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    stage = StageDir(words.stage)
    settings, results = stage.read_settings()["settings"], stage.read_results()
    train, validation = (TokenStore.open(stage.data / name) for name in ("train", "validation"))
    context = settings["context"] or read_config(stage.model).context_length
    steps_per_epoch = DocumentWindows(train, settings["batch_size"], context, 0).steps_per_epoch
    steps = settings["steps"] or round((settings["epochs"] or 1) * steps_per_epoch)
    vocabulary = Tokenizer.load(stage.model).vocab_size
    counts = kneser_ney.train(np.asarray(train.tokens, np.int64), vocabulary, order=5)
    ngram = kneser_ney.loss(counts, np.asarray(validation.tokens, np.int64))
    peer = train_with_transformers(stage, Windows(train, context), Windows(validation, context), steps, words.seed)
    ours = results["validation_loss"]
    print(f"{len(train.tokens):,} training tokens, {len(validation.tokens):,} validation tokens, {steps:,} steps at most\n")
    print("| model | validation loss (nats a token) | against transformers |\n|---|---|---|")
    for name, loss in (("Paddock", ours), ("transformers Trainer", peer), ("Kneser-Ney 5-gram", ngram)):
        print(f"| {name} | {loss:.4f} | {100 * (loss / peer - 1):+.2f}% |")


if __name__ == "__main__":
    main()
