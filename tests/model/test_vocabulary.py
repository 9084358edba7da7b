from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from paddock.backends.open import open_chat_model, open_scorer
from paddock.errors import CheckpointError
from paddock.model.checkpoint import save_model, save_reward_model
from paddock.model.config import ModelConfig
from paddock.model.heads import RewardModel
from paddock.model.transformer import Transformer
from paddock.model.vocabulary import load_tokenizer
from paddock.stages import reward, rewards, sft
from paddock.text.tokenizer import Tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([f"the cat sat {n} times on the mat" for n in range(100)], 290)


def saved(folder: Path, ids: int, tokenizer: Tokenizer, kind: type[Transformer | RewardModel] = Transformer) -> Path:
    torch.manual_seed(0)
    model = kind(ModelConfig(ids, 16, 1, 2, 1, 32, context_length=64))
    (save_model if isinstance(model, Transformer) else save_reward_model)(model, folder, tokenizer)
    return folder


@pytest.mark.parametrize("ids", [290, 320])
@pytest.mark.parametrize("kind", [Transformer, RewardModel])
def test_a_model_has_as_many_rows_as_its_tokenizer_has_ids_or_more(
    tmp_path: Path, tokenizer: Tokenizer, ids: int, kind: type[Transformer | RewardModel]
) -> None:
    assert load_tokenizer(saved(tmp_path / "m", ids, tokenizer, kind)) == tokenizer


def plan_of(stage: Callable, settings: type, folder: Path) -> None:
    data = folder.parent / "rows.jsonl"
    data.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}))
    stage(settings(model=str(folder), data=(str(data),)))


@pytest.mark.parametrize(
    "use",
    [
        load_tokenizer,
        open_chat_model,
        partial(plan_of, sft.plan, sft.SftSettings),
        partial(plan_of, reward.plan, reward.RewardSettings),
        lambda folder: rewards.shared_tokenizer(str(folder)),
    ],
)
def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused_wherever_both_are_opened(
    tmp_path: Path, tokenizer: Tokenizer, use: Callable[[Path], object]
) -> None:
    with pytest.raises(CheckpointError, match=r"m: the tokenizer has 290 ids, and the model 280: they do not belong"):
        use(saved(tmp_path / "m", 280, tokenizer))


def test_a_scorers_tokenizer_is_looked_at_as_well(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match="the tokenizer has 290 ids, and the model 280"):
        open_scorer(saved(tmp_path / "m", 280, tokenizer, RewardModel))
