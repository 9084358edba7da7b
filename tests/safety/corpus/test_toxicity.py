"""Figure 13: means over lines, the sample, and the classifiers with what is known of them."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from paddock.errors import DataError, EmptyDataError, PaddockError
from paddock.safety.corpus import classifiers, linear, toxicity
from paddock.safety.corpus.batch import Batch


class Shouting:
    """Finds the share of capitals of a line toxic."""

    @property
    def about(self) -> dict[str, str]:
        return {"kind": "stub"}

    def probabilities(self, lines: Sequence[str]) -> np.ndarray:
        return np.array([sum(c.isupper() for c in line) / max(len(line), 1) for line in lines])


def test_a_documents_score_is_the_mean_of_its_lines():
    counts = toxicity.count(["AAAA\naaaa\nAAaa", "AA", "a\nb"], Shouting(), False)
    assert counts["toxicity/scored"] == 3
    assert counts["toxicity/sum"] == 1_500_000  # 0.5, 1 and 0
    assert counts["toxicity/toxic"] == 2
    assert [counts[f"toxicity/bin/{place}"] for place in (0, 10, 19)] == [1, 1, 1]


def test_empty_lines_count_only_where_that_is_asked_for():
    assert toxicity.count(["AA\n\n  \nAA"], Shouting(), False)["toxicity/sum"] == 1_000_000
    assert toxicity.count(["AA\n\n\nAA"], Shouting(), True)["toxicity/sum"] == 500_000


def test_a_document_without_lines_is_counted_apart():
    counts = toxicity.count(["", " \n", "a"], Shouting(), False)
    assert (counts["toxicity/without_lines"], counts["toxicity/scored"]) == (2, 1)


def test_no_document_at_all_is_no_score():
    counts = toxicity.count([], Shouting(), False)
    table = toxicity.table(counts, {}, 0.1)
    assert table["mean_score"] is None
    assert table["toxic"]["estimate"] is None


def test_a_tenth_is_sampled_the_same_whatever_stands_beside_it():
    hashes = Batch([f"document {n}" for n in range(20_000)], Counter()).hashes
    picked = toxicity.is_sampled(hashes, 0.1, seed=3)
    assert abs(picked.sum() - 2000) < 4 * np.sqrt(20_000 * 0.09)
    assert toxicity.is_sampled(hashes[::-1], 0.1, seed=3)[::-1].tolist() == picked.tolist()
    other = toxicity.is_sampled(hashes, 0.1, seed=4)
    assert abs((picked & other).sum() - 200) < 4 * np.sqrt(20_000 * 0.01)
    assert toxicity.is_sampled(hashes, 1, seed=0).all()


# --- the linear classifier ---

RUDE = [f"{name} is a {word} fool" for name in ("Bruno", "Anna", "Carl", "Dora") for word in ("silly", "lazy", "rotten")] * 4
KIND = [f"{name} is a {word} friend" for name in ("Bruno", "Anna", "Carl", "Dora") for word in ("good", "old", "dear")] * 4
LABELS = [True] * len(RUDE) + [False] * len(KIND)


@pytest.fixture(scope="module")
def trained() -> linear.LinearClassifier:
    return linear.train(RUDE + KIND, LABELS, seed=0)


def test_the_linear_classifier_learns_and_comes_back_from_its_folder(trained, tmp_path: Path):
    trained.save(tmp_path / "toxicity")
    opened = classifiers.open_classifier(str(tmp_path / "toxicity"))
    lines = ["Emil is a silly fool", "Emil is a dear friend", ""]
    assert (opened.probabilities(lines)[:2] > 0.5).tolist() == [True, False]
    assert opened.probabilities(lines).tolist() == trained.probabilities(lines).tolist()
    assert opened.about == trained.about


def test_the_linear_classifier_is_that_of_scikit_learn(trained):
    from sklearn.linear_model import LogisticRegression

    labels = np.array(LABELS)
    kept = np.random.default_rng(0).random(len(labels)) >= linear.HELD_OUT
    features = linear._features(RUDE + KIND)
    reference = LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced").fit(features[kept], labels[kept])
    lines = ["Emil is a silly fool", "a dear old fool"]
    expected = reference.predict_proba(linear._features(lines))[:, 1]
    assert trained.probabilities(lines) == pytest.approx(expected, abs=1e-6)


def test_no_line_has_no_probability(trained):
    assert trained.probabilities([]).shape == (0,)


def test_a_classifier_that_was_not_checked_says_so(trained):
    assert trained.about["hatecheck"] == "not checked: paddock corpus train-toxicity --hatecheck checks it"


def test_the_report_of_a_classifier_trained_on_tweets_tells_that_it_knows_no_meaning(real_data: Path):
    rows = linear.read_rows(real_data / "davidson_hate/labeled_data.csv.gz", "tweet", "class", frozenset({"0", "1"}))
    texts, labels = (part[:6000] for part in rows)
    cases = real_data / "hatecheck/test_suite_cases.csv"
    about = linear.train_and_check(texts, labels, cases, seed=0).about
    assert about["held_out_accuracy"]["estimate"] > 0.9
    found = about["hatecheck"]
    assert (found["hateful_flagged"]["n"], found["harmless_flagged"]["n"]) == (2563, 1165)
    assert found["harmless_flagged"]["upper"] > found["hateful_flagged"]["lower"]  # no better than turning it round


def test_rows_are_read_packed_or_not_by_their_columns(tmp_path: Path):
    content = 'tweet,class\n"a, b",0\nc,2\n'
    (tmp_path / "a.csv").write_text(content)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content.encode()))
    for name in ("a.csv", "a.csv.gz"):
        assert linear.read_rows(tmp_path / name, "tweet", "class", frozenset("0")) == (["a, b", "c"], [True, False])


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path):
    (tmp_path / "a.csv").write_text("tweet,class\na,0\n")
    with pytest.raises(DataError, match=r"no column 'tweets'.*Did you mean \"tweet\""):
        linear.read_rows(tmp_path / "a.csv", "tweets", "class", frozenset("0"))


def test_rows_of_one_kind_alone_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\na,0\n")
    with pytest.raises(EmptyDataError, match="rows of both kinds"):
        linear.read_rows(tmp_path / "a.csv", "text", "label", frozenset("1"))


# --- neural classifiers ---


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sequence classifier in the form of ToxiGen's."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "silly", "dear", "fool", "friend"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=2,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_transformers_classifier_gives_the_softmax_of_the_second_label_whatever_shares_the_batch(bert: Path):
    import torch
    import transformers

    lines = [" ".join(["silly", "fool", "dear"][: n % 3 + 1] * (n % 7 + 1)) for n in range(150)]
    classifier = classifiers.open_classifier(str(bert))
    model = transformers.BertForSequenceClassification.from_pretrained(bert).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    with torch.inference_mode():
        expected = [model(**tokenizer(line, return_tensors="pt")).logits.softmax(dim=1)[0, 1].item() for line in lines]
    assert classifier.probabilities(lines) == pytest.approx(expected, abs=1e-5)
    assert classifier.about["toxic_label"] == "LABEL_1"


def test_the_label_that_is_named_toxic_counts():
    assert classifiers._toxic_label({0: "toxic", 1: "neutral"}) == 0
    assert classifiers._toxic_label({0: "non-toxic", 1: "hate"}) == 1
    assert classifiers._toxic_label({0: "LABEL_0", 1: "LABEL_1"}) == 1
    assert classifiers._toxic_label({0: "LABEL_0"}) == 0


def test_a_reward_model_finds_toxic_what_it_would_not_prefer(tmp_path: Path):
    import torch

    from paddock.model.checkpoint import save_reward_model
    from paddock.model.config import ModelConfig
    from paddock.model.heads import RewardModel
    from paddock.text.dialog import Dialog, Message
    from paddock.text.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([f"a silly fool and a dear friend {n}" for n in range(60)], 290)
    torch.manual_seed(0)
    model = RewardModel(ModelConfig(tokenizer.vocab_size, 16, 1, 2, 1, 32, context_length=64))
    save_reward_model(model, tmp_path, tokenizer)
    classifier = classifiers.open_classifier(str(tmp_path))
    dialog = Dialog((Message("user", classifiers.PROMPT), Message("assistant", "a silly fool")))
    (score,) = classifier.scorer.score([dialog])
    assert classifier.probabilities(["a silly fool"]) == pytest.approx([1 - 1 / (1 + np.exp(-score))])


def test_a_classifier_that_is_not_there_is_answered_with_what_helps(tmp_path: Path):
    with pytest.raises(PaddockError, match="train-toxicity"):
        classifiers.open_classifier(str(tmp_path / "nowhere"))
