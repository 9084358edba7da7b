"""The one loop: what it learns, what stops it, which weights it ends with."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from paddock.errors import SettingsError
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir
from paddock.text.chat_format import Encoded
from paddock.text.packing import Batch, Batches, DocumentWindows, PackedDialogs, TokenStore
from paddock.train.loop import (
    Fitted,
    evaluate,
    filled_micro_batches,
    fit,
    micro_batches,
    next_token_loss,
    prepare,
    rows_at_once,
)
from paddock.train.parallel import Ranks
from paddock.train.settings import TrainingSettings

CONFIG = ModelConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=48, context_length=16)
ALONE = Ranks(0, 1, torch.device("cpu"))


def new_model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG)


def settings(**changes: object) -> TrainingSettings:
    defaults = {"batch_size": 4, "learning_rate": 3e-3, "precision": "f32", "compile": "off", "log_every": 1}
    return TrainingSettings(**{**defaults, **changes})


def train(folder: Path, batches: Batches, steps: int = 4, validation: Batches | None = None, **changes: object) -> Fitted:
    stage_dir, label = StageDir(folder), "test"
    return fit(new_model(), batches, settings(**changes), stage_dir, ALONE, label=label, steps=steps, validation=validation)


def rows(folder: Path, split: str = "train") -> list[dict]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in found if row["split"] == split]


@pytest.fixture
def documents(store_folder: Path) -> DocumentWindows:
    return DocumentWindows(TokenStore.open(store_folder), 4, 16, seed=0)


@pytest.fixture(scope="module")
def dialogs(tmp_path_factory: pytest.TempPathFactory) -> PackedDialogs:
    """Dialogs of unequal lengths, unequal shares of which bear loss."""
    random = np.random.default_rng(0)

    def dialog() -> Encoded:
        length = int(random.integers(4, 17))
        bears_loss = random.random(length) < 0.4
        bears_loss[2] = True
        return Encoded(random.integers(3, 64, length).tolist(), bears_loss.tolist())

    folder = tmp_path_factory.mktemp("dialogs") / "store"
    TokenStore.write(folder, (dialog() for _ in range(60)), 64)
    return PackedDialogs(TokenStore.open(folder), 4, 16, seed=0)


def test_the_loss_is_that_of_the_answers_alone(dialogs: PackedDialogs) -> None:
    model, batch = new_model(), dialogs.batch(0)
    loss_sum, count = next_token_loss(model, batch, ALONE.device)
    logits = model(torch.from_numpy(batch.token_ids), torch.from_numpy(batch.segment_ids))
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), torch.from_numpy(batch.targets), reduction="none")
    assert count == batch.loss_mask.sum() < batch.loss_mask.size
    torch.testing.assert_close(loss_sum, each[torch.from_numpy(batch.loss_mask)].sum())


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_the_micro_batch_changes_nothing(tmp_path: Path, dialogs: PackedDialogs, micro_batch_size: int) -> None:
    whole = train(tmp_path / "whole", dialogs)
    parts = train(tmp_path / "parts", dialogs, micro_batch_size=micro_batch_size)
    for one, other in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-4)
    for one, other in zip(whole.setup.model.parameters(), parts.setup.model.parameters(), strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


def test_a_prime_number_of_rows_is_learnt_from_as_many_rows_at_a_time_as_there_is_room_for(
    tmp_path: Path, store_folder: Path
) -> None:
    seven, folder = DocumentWindows(TokenStore.open(store_folder), 7, 16, seed=0), StageDir(tmp_path / "parts")
    shapes: list[int] = []

    def counted(model: torch.nn.Module, batch: Batch, device: torch.device) -> tuple[torch.Tensor, int]:
        shapes.append(len(batch.token_ids))
        return next_token_loss(model, batch, device)

    train(tmp_path / "whole", seven, steps=3)
    fit(
        new_model(),
        seven,
        settings(micro_batch_size=3),
        folder,
        ALONE,
        label="",
        steps=3,
        loss=counted,
    )
    assert shapes == [3, 3, 1] * 3
    losses, expected = ([row["loss"] for row in rows(tmp_path / name)] for name in ("parts", "whole"))
    np.testing.assert_allclose(losses, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "tokens", "size", "at_once"),
    [
        (16, 256, None, 16),  # all fit
        (64, 512, None, 32),  # 16,384 tokens
        (72, 256, None, 36),  # two equal parts
        (67, 256, None, 34),  # a prime: 34 and 33
        (74, 256, None, 37),
        (7, 16, 2, 2),  # 2, 2, 2, 1
        (8, 16, 3, 2),  # equal parts, of one shape
        (5, 16, 1, 1),
        (3, 40_000, None, 1),
    ],
)
def test_micro_batches_are_equal_where_that_costs_little(rows: int, tokens: int, size: int | None, at_once: int) -> None:
    assert rows_at_once(rows, tokens, size) == at_once


def test_rows_in_steps_of_eight_always_divide_into_equal_micro_batches() -> None:
    """Those of reward models: at most 512 rows, of 256 tokens or more."""
    for limit in range(1, 65):
        for rows in range(8, 513, 8):
            at_once = rows_at_once(rows, 256, limit)
            assert rows % at_once == 0
            assert at_once == max(n for n in range(1, limit + 1) if rows % n == 0)


@given(
    filled=st.integers(1, 24),
    rows=st.integers(1, 12),
    ranks=st.integers(1, 3),
    size=st.integers(1, 9),
    compiled=st.booleans(),
)
def test_an_evaluation_shows_the_filled_rows_once_in_as_many_parts_on_every_rank(
    filled: int, rows: int, ranks: int, size: int, compiled: bool
) -> None:
    rows, filled = rows * ranks, min(filled, rows * ranks)
    numbers = np.arange(rows)[:, None]
    batch = Batch(numbers, numbers, numbers < filled, None, ("documents",) * filled + ("padding",) * (rows - filled))
    assert batch.filled == filled
    device = torch.device("cpu")
    parts = [list(filled_micro_batches(batch, Ranks(rank, ranks, device), size, compiled)) for rank in range(ranks)]
    whole = [list(micro_batches(batch, Ranks(rank, ranks, device), size)) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    seen = [int(row) for part in parts for some in part for row in some.token_ids[:, 0]]
    assert seen == list(range(len(seen)))
    assert filled <= len(seen) < filled + ranks * (size if compiled else 1)
    if compiled:
        shapes = {len(some.token_ids) for part in whole for some in part}
        assert {len(some.token_ids) for part in parts for some in part} <= shapes
    assert max(len(some.token_ids) for part in parts for some in part) <= size


def test_activation_checkpointing_changes_nothing(tmp_path: Path, documents: DocumentWindows) -> None:
    train(tmp_path / "plain", documents)
    train(tmp_path / "checkpointed", documents, activation_checkpointing=True)
    assert [r["loss"] for r in rows(tmp_path / "checkpointed")] == [r["loss"] for r in rows(tmp_path / "plain")]


def test_losses_are_those_of_transformers_model_under_torchs_own_optimizer(
    tmp_path: Path, documents: DocumentWindows
) -> None:
    steps, peak = 8, 1e-2
    save_model(new_model(), tmp_path / "initial")
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "initial", attn_implementation="eager")
    decayed = [p for p in theirs.parameters() if p.ndim == 2]
    others = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), eps=1e-5)
    schedule = transformers.get_cosine_with_min_lr_schedule_with_warmup(optimizer, 2, steps, min_lr_rate=0.1)
    optimizer.step()  # without gradients: only so that torch lets the schedule begin at its second rate, above zero
    expected = []
    for step in range(steps):
        schedule.step()
        batch = documents.batch(step)
        logits = theirs(input_ids=torch.from_numpy(batch.token_ids)).logits
        mask = torch.from_numpy(batch.loss_mask)
        loss = torch.nn.functional.cross_entropy(logits[mask], torch.from_numpy(batch.targets)[mask])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        expected.append((loss.item(), norm.item(), schedule.get_last_lr()[0]))
        optimizer.step()
        optimizer.zero_grad()
    train(tmp_path / "ours", documents, steps=steps, learning_rate=peak, warmup_steps=2)
    found = [(row["loss"], row["gradient_norm"], row["learning_rate"]) for row in rows(tmp_path / "ours")]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update_and_names_the_row(
    tmp_path: Path, documents: DocumentWindows, tiny_run
) -> None:
    changes = {"save_every": 1, "keep_saves": 9, "log_every": 1, "evaluate_every": 9, "micro_batch_size": 2}
    answer = tiny_run(tmp_path / "poisoned", steps=6, settings=changes, poison=4)
    row = documents.batch(3).sources[3]
    assert answer["error"].startswith(f"TrainingError: step 4: the loss of these rows is not finite: {row}. ")
    assert "The weights were not updated" in answer["error"]
    assert len(rows(tmp_path / "poisoned")) == 3
    saved, digest = load_file(tmp_path / "poisoned/checkpoints/step-00000003/rank-00000.safetensors"), hashlib.blake2b()
    for name, _ in new_model().named_parameters():
        digest.update(saved[f"model.{name}"].numpy().tobytes())
    assert answer["weights"] == digest.hexdigest()


def test_training_learns_what_can_be_learnt(tmp_path: Path, documents: DocumentWindows) -> None:
    fitted = train(tmp_path, documents, steps=150, validation=documents, log_every=50, evaluate_every=50)
    first, *_, last = rows(tmp_path)
    assert last["loss"] < first["loss"] / 2
    assert fitted.results["validation_loss"] < math.log(64) / 2
    assert fitted.results["perplexity"] == pytest.approx(math.exp(fitted.results["validation_loss"]))


def test_bf16_and_compiled_runs_learn_as_f32_does(tmp_path: Path, documents: DocumentWindows) -> None:
    train(tmp_path / "f32", documents, steps=20)
    train(tmp_path / "bf16", documents, steps=20, precision="bf16")
    train(tmp_path / "compiled", documents, steps=20, compile="on")
    expected = [row["loss"] for row in rows(tmp_path / "f32")]
    np.testing.assert_allclose([row["loss"] for row in rows(tmp_path / "bf16")], expected, rtol=0.02)
    np.testing.assert_allclose([row["loss"] for row in rows(tmp_path / "compiled")], expected, rtol=1e-4)


class Misleading:
    """Validation batches whose targets are random: what is learnt soon makes their loss worse."""

    steps_per_epoch = 1
    tokens_per_epoch = 64

    def __init__(self, documents: DocumentWindows) -> None:
        self.documents = documents

    def batch(self, step: int):
        batch = self.documents.batch(step)
        np.random.default_rng(0).shuffle(batch.targets.reshape(-1))
        return batch


def test_keep_best_ends_with_the_weights_of_the_lowest_validation_loss(tmp_path: Path, documents: DocumentWindows) -> None:
    changes = {"evaluate_every": 2, "save_every": 10, "keep_saves": 1, "log_every": 10, "learning_rate": 1e-2}
    misleading = Misleading(documents)
    best = train(tmp_path / "best", documents, 40, misleading, keep="best", **changes)
    losses = {row["step"]: row["loss"] for row in rows(tmp_path / "best", "validation")}
    step = min(losses, key=losses.get)
    assert step < 40
    assert best.results["kept_step"] == step
    assert best.results["validation_loss"] == losses[step]
    last = train(tmp_path / "last", documents, 40, misleading, keep="last", **changes)
    assert last.results["kept_step"] == 40
    assert last.results["validation_loss"] == losses[40]
    batch = misleading.batch(0)
    with torch.no_grad():
        kept_loss, count = next_token_loss(best.setup.model, batch, ALONE.device)
    assert kept_loss.item() / count == pytest.approx(losses[step], abs=1e-6)


def test_a_run_out_of_patience_ends_early(tmp_path: Path, documents: DocumentWindows) -> None:
    changes = {"keep": "best", "patience": 3, "evaluate_every": 2, "learning_rate": 1e-2}
    fitted = train(tmp_path, documents, 200, Misleading(documents), **changes)
    steps = [row["step"] for row in rows(tmp_path, "validation")]
    assert fitted.results["steps"] == steps[-1] == fitted.results["kept_step"] + 6 < 200
    again = train(tmp_path, documents, 200, Misleading(documents), **changes)
    assert again.results["steps"] == fitted.results["steps"]


def test_keep_best_without_validation_is_refused(tmp_path: Path, documents: DocumentWindows) -> None:
    with pytest.raises(SettingsError, match="keep: best needs validation data"):
        train(tmp_path, documents, keep="best")


def test_a_logged_loss_is_the_mean_over_the_tokens_since_the_row_before(tmp_path: Path, dialogs: PackedDialogs) -> None:
    train(tmp_path / "each", dialogs, steps=6)
    train(tmp_path / "thirds", dialogs, steps=6, log_every=3)
    each, thirds = rows(tmp_path / "each"), rows(tmp_path / "thirds")
    counts = np.diff([0, *(row["tokens"] for row in each)])
    assert len(set(counts)) > 1
    assert [row["step"] for row in thirds] == [3, 6]
    expected = [
        np.average([r["loss"] for r in part], weights=c) for part, c in ((each[:3], counts[:3]), (each[3:], counts[3:]))
    ]
    np.testing.assert_allclose([row["loss"] for row in thirds], expected, rtol=1e-6)


def test_evaluation_counts_every_token_once(tmp_path: Path, documents: DocumentWindows) -> None:
    fitted = train(tmp_path, documents, steps=1, validation=documents)
    (row,) = rows(tmp_path, "validation")
    assert row["tokens"] == documents.tokens_per_epoch
    total = 0.0
    with torch.no_grad():
        for step in range(documents.steps_per_epoch):
            total += next_token_loss(fitted.setup.model, documents.batch(step), ALONE.device)[0].item()
    assert row["loss"] == pytest.approx(total / documents.tokens_per_epoch, abs=1e-6)


@pytest.mark.parametrize("kind", [DocumentWindows, PackedDialogs])
def test_an_evaluation_reads_the_rows_there_are_and_finds_the_same_loss_at_any_batch_size(
    dialogs: PackedDialogs, documents: DocumentWindows, kind: type[DocumentWindows | PackedDialogs]
) -> None:
    store = (dialogs if kind is PackedDialogs else documents).store
    setup, read = prepare(new_model(), settings(), ALONE, 0), 0

    def counted(model: torch.nn.Module, batch: Batch, device: torch.device) -> tuple[torch.Tensor, int]:
        nonlocal read
        read += len(batch.token_ids)
        return next_token_loss(model, batch, device)

    found = {}
    for batch_size in (1, 4, 7, 64, 1024):
        read = 0
        found[batch_size] = evaluate(setup, kind(store, batch_size, 16, 0), counted, None)
        assert read == kind(store, 1, 16, 0).steps_per_epoch
    expected_loss, expected_count = found[1]
    for loss, count in found.values():
        assert count == expected_count
        assert loss == pytest.approx(expected_loss, abs=1e-6)
