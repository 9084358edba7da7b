"""Policy, value model and reference: what they share, what a step does, what a save holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from paddock.errors import SettingsError
from paddock.model.checkpoint import reward_model_from, save_model, save_reward_model
from paddock.model.config import ModelConfig
from paddock.model.generation import generate
from paddock.model.heads import ValueModel
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling
from paddock.train.actor_critic import Accumulated, ActorCritic, make_ready, share_lowest
from paddock.train.parallel import Ranks
from paddock.train.rollout import Reply, Rollout
from paddock.train.settings import TrainingSettings

CONFIG = ModelConfig(vocab_size=40, dim=16, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=24, context_length=32)
ALONE = Ranks(0, 1, torch.device("cpu"))
SETTINGS = TrainingSettings(batch_size=8, learning_rate=1e-2, precision="f32", compile="off")


def new_models(shared_layers: int = 0, precision: str = "f32", seed_of_value: int = 0) -> ActorCritic:
    """Three models of one checkpoint, with a random head for the value model; its trunk is of another where its seed is."""
    torch.manual_seed(0)
    policy = Transformer(CONFIG)
    reference, value = Transformer(CONFIG), ValueModel(CONFIG)
    reference.load_state_dict(policy.state_dict())
    torch.manual_seed(seed_of_value)
    other = policy if seed_of_value == 0 else Transformer(CONFIG)
    value.load_state_dict({k: v for k, v in other.state_dict().items() if not k.startswith("head.")}, strict=False)
    nn.init.normal_(value.value.weight, std=0.3)  # a head of zeros would give every value 0, and the trunk no gradient
    nn.init.constant_(value.value.bias, -0.5)
    settings = SETTINGS.model_copy(update={"precision": precision})
    return make_ready(policy, reference, value, settings, ALONE, tokens=0, shared_layers=shared_layers)


def replies_of(models: ActorCritic) -> list[Reply]:
    generator = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(3, 40, (length,), generator=generator).tolist()) for length in (3, 19, 5, 1, 7, 20, 2, 6)]
    found = generate(models.sampler(), prompts, Sampling(max_new_tokens=9, seed=1), end_id=2)
    return [
        Reply(prompt, reply.token_ids, reply.log_probs, reply.finish_reason == "stop")
        for prompt, (reply,) in zip(prompts, found, strict=True)
    ]


def roll_out(models: ActorCritic, replies: Sequence[Reply], rows: int | None = None) -> Rollout:
    return models.roll_out(replies, temperature=1.0, mini_batch_size=4, rows=rows)


def targets(rollout: Rollout) -> tuple[Tensor, Tensor]:
    """Advantages and returns, a number of its own for each token."""
    generator = torch.Generator().manual_seed(5)
    return tuple(torch.randn(rollout.mask.shape, generator=generator).where(rollout.mask, 0.0) for _ in range(2))


def learn(models: ActorCritic, rollout: Rollout, learns: bool = True) -> list[Accumulated]:
    """A step a mini-batch."""
    found = []
    for mini_batch in rollout.mini_batches:
        clips = {"clip_range": 0.2, "value_clip_range": 0.2}
        found.append(models.accumulate(rollout, mini_batch, *targets(rollout), temperature=1.0, **clips, learns=learns))
        models.step(found[-1], 1e-2, 1e-2, 1.0)
    return found


def weights(models: ActorCritic) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in models.tensors().items() if name.startswith("model.")}


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("rows", [None, 1])
def test_the_ratio_is_exactly_one_on_the_first_mini_batch_alone(precision: str, rows: int | None) -> None:
    models = new_models(precision=precision)
    rollout = roll_out(models, replies_of(models), rows)
    assert all(len(batch) * len(batch[0].token_ids) < 4 for batch in rollout.mini_batches), "some replies share a row"
    first, second = learn(models, rollout)
    assert first.ratio_error == 0
    assert first.sums["ratio"] == first.tokens
    assert second.ratio_error > 0


def test_policy_and_reference_agree_exactly_before_the_first_step() -> None:
    models = new_models()
    before = roll_out(models, replies_of(models))
    assert torch.equal(before.log_probs, before.reference_log_probs)
    learn(models, before)
    after = roll_out(models, before.replies)
    assert not torch.equal(after.log_probs, after.reference_log_probs)
    assert torch.equal(after.reference_log_probs, before.reference_log_probs)


@pytest.mark.parametrize("rows", [1, 2])
def test_micro_batches_change_neither_losses_nor_weights(rows: int) -> None:
    whole, parts = new_models(), new_models()
    replies = replies_of(whole)
    at_once, in_parts = roll_out(whole, replies), roll_out(parts, replies, rows)
    assert len(in_parts.mini_batches[0]) > len(at_once.mini_batches[0])
    for one, other in zip(learn(whole, at_once), learn(parts, in_parts), strict=True):
        assert other.tokens == one.tokens
        for name, total in one.sums.items():
            assert other.sums[name] / one.tokens == pytest.approx(total / one.tokens, abs=1e-5)
        for ours, theirs in zip(other.norms_of_sums, one.norms_of_sums, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_while_the_value_model_warms_up_the_policy_rests() -> None:
    models = new_models()
    before = weights(models)
    learn(models, roll_out(models, replies_of(models)), learns=False)
    changed = {name for name, value in weights(models).items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("model.value.")}


def test_the_reference_never_learns() -> None:
    models = new_models()
    before = [parameter.clone() for parameter in models.reference.parameters()]
    learn(models, roll_out(models, replies_of(models)))
    assert all(torch.equal(p, q) for p, q in zip(models.reference.parameters(), before, strict=True))


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("shared_layers", [0, 1])
def test_a_save_puts_everything_back(learns: bool, shared_layers: int) -> None:
    """Also one that was made before the policy's first step."""
    models = new_models(shared_layers)
    rollout = roll_out(models, replies_of(models))
    learn(models, rollout, learns)
    saved = {name: value.clone() for name, value in models.tensors().items()}
    other = new_models(shared_layers)
    other.restore(saved)
    for some in (models, other):
        learn(some, rollout)
    for name, value in models.tensors().items():
        if not name.startswith("random."):
            assert torch.equal(other.tensors()[name], value), name


def test_shared_layers_are_one_and_the_same_and_never_learn() -> None:
    models = new_models(shared_layers=1)
    policy, value, reference = models.policy.model, models.value.model, models.reference
    assert policy.embedding is value.embedding is reference.embedding
    assert policy.blocks[0] is value.blocks[0] is reference.blocks[0]
    assert len({id(some.blocks[1]) for some in (policy, value, reference)}) == 3
    before = [p.clone() for p in policy.blocks[0].parameters()] + [policy.embedding.weight.clone()]
    learn(models, roll_out(models, replies_of(models)))
    after = [*policy.blocks[0].parameters(), policy.embedding.weight]
    assert all(torch.equal(p, q) for p, q in zip(after, before, strict=True))


def test_shared_layers_leave_every_log_prob_and_value_as_it_was() -> None:
    apart, shared = new_models(), new_models(shared_layers=2)
    replies = replies_of(apart)
    one, other = roll_out(apart, replies), roll_out(shared, replies)
    assert torch.equal(one.log_probs, other.log_probs)
    assert torch.equal(one.values, other.values)
    assert one.values[one.mask].std() > 0.1


def test_models_that_differ_cannot_share() -> None:
    with pytest.raises(SettingsError, match="the value model differs from the policy in the embedding: one copy cannot"):
        new_models(shared_layers=1, seed_of_value=7)
    with pytest.raises(SettingsError, match="shared_layers is 3, and the policy or the reference has 2 layers"):
        new_models(shared_layers=3)


def test_a_shallower_model_cannot_share_layers_that_it_lacks() -> None:
    policy, other = Transformer(CONFIG), Transformer(replace(CONFIG, n_layers=1))
    other.load_state_dict(policy.state_dict(), strict=False)
    with pytest.raises(SettingsError, match="shared_layers is 2, and the policy or the value model has 1 layers"):
        share_lowest(policy, other, 2, "the value model")


def test_a_whole_copy_of_the_policy_samples_as_it_does() -> None:
    models = new_models()
    copy = models.whole_policy(torch.float32, "cpu")
    ids = torch.tensor([[5, 6, 7]])
    assert copy is not models.policy.model
    assert torch.equal(copy(ids), models.policy.model(ids))


def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    """On the same replies: unlike lengths and numbers of rows on the two ranks, whitening and sums over both."""
    torch.manual_seed(0)
    save_model(Transformer(CONFIG), tmp_path / "model")
    reward_model = reward_model_from(tmp_path / "model", seed=1).build()
    reward_model.mean, reward_model.std = 0.5, 2.0
    save_reward_model(reward_model, tmp_path / "reward")
    script = [str(Path(__file__).with_name("parallel_ppo.py")), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", [sys.executable]), ("two", together)):
        words = [*command, *script, str(tmp_path / name)]
        done = subprocess.run(words, check=True, env=environment, capture_output=True, timeout=300, text=True)
        assert "UserWarning" not in done.stderr
    one, two = (json.loads((tmp_path / name / "figures.json").read_text()) for name in ("one", "two"))
    assert two == pytest.approx(one, abs=1e-4)
    before = reward_model.state_dict()
    alone, shared = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-4, msg=name)
    moved = [name for name, value in before.items() if not torch.equal(alone.get(f"value.{name}", value), value)]
    assert any(name.startswith("blocks.0.") for name in moved), "the value model's trunk learns too"
