"""Models of transformers behind the protocols, beside Paddock's own of the same weights and beside transformers itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paddock.backends.local import open_local_model
from paddock.backends.open import open_chat_model, open_scorer
from paddock.errors import PaddockError, SettingsError, UnsupportedError
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import train_tokenizer

SHORT = Dialog((Message("user", "the cat"),))
LONG = Dialog((Message("user", "the cat sat 7 times"), Message("assistant", "on the mat"), Message("user", "the dog sat")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small Llama with a chat template, as Paddock saves one."""
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tokenizer = train_tokenizer([f"the cat sat {n} times on the mat, the dog {n}" for n in range(200)], 300)
    model = Transformer(ModelConfig(300, 32, 2, 4, 2, 48, context_length=64))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_model(model, path, tokenizer, torch.float32)
    return path


@pytest.fixture(scope="module")
def model(folder: Path):
    return open_chat_model({"kind": "transformers", "model": str(folder), "batch_size": 2})


def test_greedy_completions_are_those_of_paddocks_own_network(folder: Path, model):
    """Three prompts of unequal lengths in batches of two: padding on the left changes nothing."""
    prompts, sampling = [SHORT, LONG, "the cat sat"], Sampling(temperature=0, max_new_tokens=8)
    own = open_local_model(folder).complete(prompts, sampling)
    for theirs, ours in zip(model.complete(prompts, sampling), own, strict=True):
        assert theirs[0].token_ids == ours[0].token_ids
        assert theirs[0].finish_reason == ours[0].finish_reason


def test_log_probs_are_those_of_paddocks_own_network(folder: Path, model):
    prompts, continuations = [SHORT, LONG, "the cat sat"], ["on the mat", "7 times", " 9 times on"]
    theirs, ours = model.log_probs(prompts, continuations), open_local_model(folder).log_probs(prompts, continuations)
    for one, other in zip(theirs, ours, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(model):
    def sampled(seed):
        found = model.complete([SHORT, LONG], Sampling(n=3, max_new_tokens=8, seed=seed))
        return [[completion.token_ids for completion in some] for some in found]

    assert sampled(1) == sampled(1) != sampled(2)
    assert [len(set(some)) > 1 for some in sampled(1)] == [True, True]


def test_sampling_follows_the_models_distribution(model):
    """The first token of 400 samples: the share of the likeliest one lies within four standard errors of its probability."""
    sampled = model.complete(["the cat"], Sampling(n=400, max_new_tokens=1, temperature=1.0))[0]
    ids = torch.tensor([model.tokenizer("the cat")["input_ids"]])
    with torch.inference_mode():
        probabilities = model.model(ids).logits[0, -1].softmax(-1)
    best = int(probabilities.argmax())
    share, p = sum(c.token_ids[0] == best for c in sampled) / 400, float(probabilities[best])
    assert abs(share - p) < 4 * (p * (1 - p) / 400) ** 0.5


def test_equal_greedy_completions_are_given_as_often_as_asked(model):
    [some] = model.complete([SHORT], Sampling(n=3, temperature=0, max_new_tokens=4))
    assert len(some) == 3
    assert len(set(some)) == 1


def test_a_stop_string_ends_the_text_and_is_not_part_of_it(model):
    [[whole]] = model.complete(["the cat sat"], Sampling(temperature=0, max_new_tokens=12))
    stop = whole.text[3:5]
    [[cut]] = model.complete(["the cat sat"], Sampling(temperature=0, max_new_tokens=12, stop=(stop,)))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_that_leaves_no_room_is_an_error_among_others_that_are_not(model):
    long = Dialog((Message("user", "the cat " * 60),))
    found = model.complete([SHORT, long], Sampling(n=2, max_new_tokens=2))
    assert [c.finish_reason for c in found[1]] == ["error", "error"]
    assert "leaves no room" in found[1][0].error
    assert found[0][0].error is None
    with pytest.raises(PaddockError, match="the context is 64"):
        model.log_probs(["the cat " * 60], ["x"])


def test_a_name_that_is_no_model_is_refused(tmp_path: Path):
    with pytest.raises(PaddockError, match="transformers cannot load"):
        open_chat_model({"kind": "transformers", "model": str(tmp_path)})


def test_a_dialog_for_a_model_without_a_chat_template_is_refused(folder: Path, model):
    template, model.tokenizer.chat_template = model.tokenizer.chat_template, None
    try:
        with pytest.raises(UnsupportedError, match="has no chat template"):
            model.complete([SHORT], Sampling())
    finally:
        model.tokenizer.chat_template = template


@pytest.fixture(scope="module")
def classifiers(folder: Path, tmp_path_factory) -> dict[int, Path]:
    """Sequence classifiers of one output and of two, with the tokenizer of the chat model."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    folders = {}
    for labels in (1, 2):
        torch.manual_seed(labels)
        config = LlamaConfig.from_pretrained(folder, num_labels=labels, pad_token_id=0)
        config.id2label = {0: "fine", 1: "toxic"} if labels == 2 else {0: "score"}
        folders[labels] = tmp_path_factory.mktemp("classifier")
        LlamaForSequenceClassification(config).save_pretrained(folders[labels])
        AutoTokenizer.from_pretrained(folder).save_pretrained(folders[labels])
    return folders


def test_a_score_is_the_raw_logit_whatever_stands_beside_it(classifiers):
    scorer = open_scorer({"kind": "transformers", "model": str(classifiers[1])})
    dialogs = [SHORT.with_reply("on the mat"), LONG.with_reply("7"), SHORT.with_reply("the dog " * 40)]
    together = scorer.score(dialogs)
    alone = [scorer.score([dialog])[0] for dialog in dialogs]
    assert together[2] is alone[2] is None
    assert together[:2] == pytest.approx(alone[:2], abs=1e-5)
    text = scorer.tokenizer.apply_chat_template(
        [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "on the mat"}], tokenize=False
    )
    with torch.inference_mode():
        expected = scorer.model(**scorer.tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits
    assert together[0] == pytest.approx(expected.item(), abs=1e-5)


def test_a_classifiers_score_is_the_probability_of_the_label_that_counts(classifiers):
    scores = {
        label: open_scorer({"kind": "transformers", "model": str(classifiers[2]), "label": label}).score(
            [SHORT.with_reply("x")]
        )
        for label in ("fine", "toxic")
    }
    assert scores["fine"][0] + scores["toxic"][0] == pytest.approx(1)
    with pytest.raises(SettingsError, match="has the labels fine, toxic: say by label"):
        open_scorer({"kind": "transformers", "model": str(classifiers[2])})
    with pytest.raises(SettingsError, match="has no label 'rude'"):
        open_scorer({"kind": "transformers", "model": str(classifiers[2]), "label": "rude"})
