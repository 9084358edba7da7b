import json
import math

import pytest
import torch
from torch import nn

from paddock.errors import CheckpointError
from paddock.model.checkpoint import (
    is_reward_model,
    load_model,
    load_reward_model,
    reward_model_from,
    save_model,
    save_reward_model,
    value_model_from,
)
from paddock.model.config import ModelConfig
from paddock.model.heads import RewardModel, ScalarHead, ValueModel, fresh_head
from paddock.model.scoring import LocalScorer
from paddock.model.transformer import Transformer


def config(kv_heads=2):
    return ModelConfig(71, 32, 3, 4, kv_heads, 40, context_length=48, rope_theta=5_000.0, norm_eps=1e-6)


def reward_model(kv_heads=2):
    torch.manual_seed(0)
    model = RewardModel(config(kv_heads)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else nn.init.uniform_(parameter, 0.5, 1.5)
    model.mean, model.std = 0.25, 1.5
    return model


@pytest.fixture
def chat_folder(tmp_path):
    torch.manual_seed(1)
    save_model(Transformer(config()), tmp_path / "chat")
    return tmp_path / "chat"


SEQUENCES = [[5, 9, 3], [7, 8, 60, 61, 62, 2, 9], [4] * 20, [33]]


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_transformers_gives_our_scores(tmp_path, kv_heads):
    from transformers import LlamaForSequenceClassification

    model = reward_model(kv_heads)
    save_reward_model(model, tmp_path / "reward")
    theirs = LlamaForSequenceClassification.from_pretrained(tmp_path / "reward").eval()
    assert theirs.config.num_labels == 1
    ids = torch.tensor([[*s, *[0] * (20 - len(s))] for s in SEQUENCES])
    with torch.no_grad():
        expected = theirs(ids, attention_mask=(ids != 0).long()).logits[:, 0]
    scores = LocalScorer(load_reward_model(tmp_path / "reward"), tokenizer=None).score_ids(SEQUENCES)
    torch.testing.assert_close(torch.tensor(scores), expected, atol=1e-4, rtol=0)


def test_transformers_reward_models_are_read(tmp_path):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    fields = {"vocab_size": 71, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    theirs = LlamaForSequenceClassification(
        LlamaConfig(**fields, num_labels=1, pad_token_id=0, initializer_range=0.3)
    ).eval()
    theirs.save_pretrained(tmp_path)
    ids = torch.tensor([SEQUENCES[1]])
    with torch.no_grad():
        expected = theirs(ids).logits[0]
        assert is_reward_model(tmp_path)
        torch.testing.assert_close(load_reward_model(tmp_path)(ids)[:, -1], expected, atol=1e-4, rtol=0)


def test_a_score_does_not_depend_on_its_batch():
    scorer = LocalScorer(reward_model(), tokenizer=None)
    together = scorer.score_ids(SEQUENCES)
    assert together == pytest.approx([scorer.score_ids([sequence])[0] for sequence in SEQUENCES], abs=1e-5)


def test_replies_that_share_their_prompt_have_the_scores_that_they_have_alone():
    scorer = LocalScorer(reward_model(), tokenizer=None)
    replies = [[*prompt, *reply] for prompt in ([5, 9, 3, 60], [5, 9, 7]) for reply in ([4], [4, 4], [8, 2, 9], [33, 1])]
    rows = []
    scorer.model.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape))
    together = scorer.score_ids(replies)
    assert sum(row * width for row, width in rows) < sum(map(len, replies))
    assert together == pytest.approx([scorer.score_ids([reply])[0] for reply in replies], abs=1e-5)


def test_statistics_travel_with_a_reward_model(tmp_path):
    save_reward_model(reward_model(), tmp_path / "reward")
    loaded = load_reward_model(tmp_path / "reward")
    assert (loaded.mean, loaded.std) == (0.25, 1.5)
    assert json.loads((tmp_path / "reward" / "config.json").read_text())["reward_std"] == 1.5


def test_heads_stay_float32_where_the_trunk_is_bfloat16(tmp_path):
    model = reward_model()
    save_reward_model(model, tmp_path / "reward", dtype=torch.bfloat16)
    loaded = load_reward_model(tmp_path / "reward")
    assert loaded.embedding.weight.dtype == torch.bfloat16
    assert torch.equal(loaded.score.weight, model.score.weight)


def test_heads_are_float32_under_autocast():
    head, hidden = ScalarHead(8), torch.randn(2, 3, 8)
    nn.init.normal_(head.weight)
    with torch.autocast("cpu", torch.bfloat16):
        scores = head(hidden)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, (hidden * head.weight[0]).sum(-1))


def test_a_reward_model_starts_with_the_chat_models_trunk_and_a_head_of_the_right_size(chat_folder):
    chat, model = load_model(chat_folder), reward_model_from(chat_folder, seed=3).build()
    ids = torch.tensor([SEQUENCES[1]])
    assert torch.equal(model.hidden_states(ids), chat.hidden_states(ids))
    assert torch.equal(model.score.weight, reward_model_from(chat_folder, seed=3).build().score.weight)
    assert fresh_head(dim=4096, seed=0).std().item() == pytest.approx(1 / math.sqrt(4097), rel=0.05)


def test_sequences_that_are_the_same_are_read_once():
    scorer, read = LocalScorer(reward_model(), tokenizer=None), []
    scorer.model.embedding.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].numel()))
    alone = scorer.score_ids([SEQUENCES[0]])
    assert scorer.score_ids([SEQUENCES[0]] * 5) == alone * 5
    assert read == [len(SEQUENCES[0])] * 2


def test_a_value_model_of_a_chat_model_begins_at_zero(chat_folder):
    ids = torch.tensor([SEQUENCES[1]])
    assert torch.equal(value_model_from(chat_folder).build()(ids), torch.zeros(1, 7))


def test_a_value_model_of_a_reward_model_begins_with_its_scores_on_the_scale_of_whitened_returns(tmp_path):
    model, ids = reward_model(), torch.tensor([SEQUENCES[1]])
    save_reward_model(model, tmp_path / "reward")
    value = value_model_from(tmp_path / "reward").build()
    assert isinstance(value, ValueModel)
    torch.testing.assert_close(value(ids), (model(ids) - 0.25) / 1.5)


def test_a_reward_model_without_a_spread_gives_a_value_model_its_own_scale(tmp_path):
    model, ids = reward_model(), torch.tensor([SEQUENCES[1]])
    model.std = 0.0
    save_reward_model(model, tmp_path / "reward")
    torch.testing.assert_close(value_model_from(tmp_path / "reward").build()(ids), model(ids) - 0.25)


def test_what_a_head_gives_is_no_view():
    """An operation in place on a view would drop the hook by which FSDP2 gathers a divided head again."""
    assert not ScalarHead(8)(torch.randn(2, 3, 8, requires_grad=True))._is_view()


def test_a_chat_model_is_no_reward_model(chat_folder):
    with pytest.raises(CheckpointError, match="LlamaForCausalLM"):
        load_reward_model(chat_folder)


def test_several_labels_are_refused(tmp_path):
    save_reward_model(reward_model(), tmp_path / "reward")
    config_file = tmp_path / "reward" / "config.json"
    about = json.loads(config_file.read_text()) | {"id2label": {"0": "bad", "1": "good"}}
    config_file.write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="2 labels"):
        load_reward_model(tmp_path / "reward")
