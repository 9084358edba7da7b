import math

import pytest
import torch

from paddock.model.checkpoint import load_reward_model, save_reward_model
from paddock.stages.rewards import UNSAFE_LOGIT, RewardFunction, Scale, combined_reward, is_tagged, open_rewards
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import Tokenizer


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_combined_reward_is_the_papers_piecewise_one():
    helpfulness = torch.tensor([logit(0.9)] * 4)
    safety = torch.tensor([logit(0.6), logit(0.6), logit(0.14), logit(0.16)])
    tagged = torch.tensor([True, False, False, False])
    expected = [logit(0.6), logit(0.9), logit(0.14), logit(0.9)]
    assert combined_reward(helpfulness, safety, tagged).tolist() == pytest.approx(expected, rel=1e-6)
    assert 1 / (1 + math.exp(-UNSAFE_LOGIT)) == pytest.approx(0.15)


def test_without_a_safety_model_helpfulness_decides():
    helpfulness = torch.tensor([1.0, -3.0])
    assert torch.equal(combined_reward(helpfulness, None, torch.tensor([True, False])), helpfulness)


def test_scores_are_standardised_after_the_rule_was_applied_to_the_raw_safety_score():
    helpfulness, safety = torch.tensor([-2.5, 1.0, 1.0]), torch.tensor([3.0, -1.8, -1.6])
    scales = Scale(mean=-3.0, std=2.0), Scale(mean=1.0, std=4.0)
    combined = combined_reward(helpfulness, safety, torch.tensor([False] * 3), *scales)
    assert combined.tolist() == pytest.approx([0.25, -0.7, 2.0])  # -1.6 is above the logit of 0.15, -1.73
    tagged = combined_reward(helpfulness, safety, torch.tensor([True] * 3), *scales)
    assert tagged.tolist() == pytest.approx([0.5, -0.7, -0.65])


def test_equal_scores_say_nothing_of_a_scale():
    assert Scale(mean=2.0, std=0.0).standardised(torch.tensor([3.0])).tolist() == [1.0]


def test_the_scales_travel_with_the_models(reward_folders, pretrained, tmp_path):
    model = load_reward_model(reward_folders["safety"])
    model.mean, model.std = 0.5, 3.0
    save_reward_model(model, tmp_path / "safety", Tokenizer.load(pretrained.model))
    rewards = open_rewards(reward_folders["helpfulness"], tmp_path / "safety")
    assert (rewards.helpfulness_scale, rewards.safety_scale) == (Scale(0.0, 1.0), Scale(0.5, 3.0))
    found = rewards.score_ids([[5, 6, 7]], [True])
    assert found.combined.item() == pytest.approx((found.safety.item() - 0.5) / 3.0)


class Lengths:
    """A scorer that gives each sequence its length."""

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def score_ids(self, sequences):
        return [float(self.sign * len(sequence)) for sequence in sequences]


def test_both_models_see_the_same_ids():
    rewards = RewardFunction(Lengths(1), Lengths(-1)).score_ids([[5], [5, 6, 7]], [False, True])
    assert rewards.helpfulness.tolist() == [1.0, 3.0]
    assert rewards.safety.tolist() == [-1.0, -3.0]
    assert rewards.combined.tolist() == [1.0, -3.0]


def test_prompts_of_the_safety_domain_are_tagged():
    message = (Message("user", "hello"),)
    assert [is_tagged(Dialog(message, domain=d)) for d in ("safety", "helpfulness", None)] == [True, False, False]
