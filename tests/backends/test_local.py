from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paddock.backends.local import open_local_model, open_local_scorer, scoring_dtype
from paddock.errors import CheckpointError
from paddock.model.checkpoint import save_model, save_reward_model
from paddock.model.config import ModelConfig
from paddock.model.heads import RewardModel
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import train_tokenizer


def test_a_model_stored_in_bfloat16_answers_in_float32_on_a_cpu(tmp_path: Path):
    tokenizer = train_tokenizer([f"the cat sat {n} times on the mat" for n in range(100)], 290)
    save_model(Transformer(ModelConfig(290, 16, 1, 2, 1, 32, context_length=64)), tmp_path / "m", tokenizer, torch.bfloat16)
    opened = open_local_model(tmp_path / "m")
    if not torch.cuda.is_available():
        assert opened.model.embedding.weight.dtype == torch.float32
    [[completion]] = opened.complete([Dialog((Message("user", "the cat"),))], Sampling(max_new_tokens=3))
    assert completion.token_ids is not None
    assert 1 <= len(completion.token_ids) <= 3


def test_a_folder_without_a_model_is_refused_by_what_it_lacks(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"there is no tokenizer\.model"):
        open_local_model(tmp_path)


@pytest.mark.parametrize(
    ("device", "supported", "dtype"),
    [("cpu", True, torch.float32), ("cuda", True, torch.bfloat16), ("cuda", False, torch.float32)],
)
def test_reward_models_score_in_bfloat16_where_a_gpu_multiplies_it(monkeypatch, device: str, supported: bool, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert scoring_dtype(torch.device(device)) == dtype


def test_a_scorers_head_is_float32_whatever_its_trunk_is(tmp_path: Path):
    tokenizer = train_tokenizer([f"the cat sat {n} times on the mat" for n in range(100)], 290)
    save_reward_model(RewardModel(ModelConfig(290, 16, 1, 2, 1, 32, context_length=64)), tmp_path / "m", tokenizer)
    model = open_local_scorer(tmp_path / "m", torch.bfloat16).model
    assert (model.embedding.weight.dtype, model.score.weight.dtype) == (torch.bfloat16, torch.float32)
    if not torch.cuda.is_available():
        assert open_local_scorer(tmp_path / "m").model.embedding.weight.dtype == torch.float32
