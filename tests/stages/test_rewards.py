import math

import pytest
import torch

from paddock.stages.rewards import UNSAFE_LOGIT, RewardFunction, combined_reward, is_tagged
from paddock.text.dialog import Dialog, Message


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
