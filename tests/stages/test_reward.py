from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from paddock.backends.local import best_device, open_local_scorer
from paddock.errors import DataError, SettingsError
from paddock.evaluate.reward_accuracy import ScoredPair, accuracy_rows
from paddock.model.checkpoint import load_reward_model, read_config
from paddock.model.size import saved_elements
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages import reward
from paddock.stages.reward import (
    RewardSettings,
    figures_of,
    held_out_pairs,
    preference_loss,
    preference_rows,
    ranking_loss,
    safety_loss,
    share_of_others,
    warmup_of,
)
from paddock.text.dialog import opening_of
from paddock.text.packing import epoch_order
from paddock.text.pairs import LABELS, PackedPairs, PairBatch
from paddock.text.readers import ReadReport
from paddock.text.tokenizer import Tokenizer
from paddock.train.precision import estimate_seconds

RATINGS = ("significantly", "better", "slightly", "negligibly")


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 pairs: the chosen reply names the thing that the prompt names."""
    draw, rows = random.Random(2), []
    things = ("apples", "boats", "cats", "drums", "eggs", "flutes")
    for number in range(120):
        thing, other = draw.sample(things, 2)
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"What does Anna like? Anna likes {thing} {draw.randint(2, 99)}."}],
                "chosen": f"Anna likes {thing}.",
                "rejected": f"Anna likes {other} and {other}.",
                "rating": RATINGS[number % 4],
                "domain": "safety" if number % 3 == 0 else "helpfulness",
                "chosen_safe": True,
                "rejected_safe": number % 2 == 0,
            }
        )
    return write_rows(tmp_path_factory.mktemp("data") / "preferences.jsonl", rows)


@pytest.fixture(scope="session")
def reward_values(preferences: Path, pretrained: StageDir) -> dict:
    return {
        "data": [str(preferences)],
        "model": str(pretrained.model),
        "batch_size": 16,
        "learning_rate": 5e-3,
        "epochs": 4,
        "precision": "f32",
        "compile": "off",
        "evaluate_every": 10,
        "save_every": 4,
        "validation_share": 0.2,
        "safety_loss_weight": 0.5,
    }


@pytest.fixture(scope="session")
def trained(reward_values: dict, tmp_path_factory: pytest.TempPathFactory) -> StageDir:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "reward")
    settings = parse(RewardSettings, reward_values, "test")
    stage_dir.begin("reward", settings.model_dump(mode="json"), {})
    stage_dir.complete(reward.run(settings, stage_dir))
    return stage_dir


def test_it_learns_to_order_pairs_of_prompts_that_it_never_saw(trained):
    results = trained.read_results()
    assert results["accuracy"] > 0.8
    assert results["train_loss"] < math.log(2)
    metrics = {(row["metric"], row["group"]) for row in results["scores"]}
    assert {("reward_accuracy", "overall"), ("reward_accuracy", "rating: slightly"), ("unsafe_recall", "overall")} <= metrics


def test_what_is_saved_scores_as_it_did(trained):
    rows = [json.loads(line) for line in trained.samples_file.read_text().splitlines()]
    model = load_reward_model(trained.model)
    own = [row for row in rows if row["domain"] == "helpfulness"]
    scores = [row[f"{side}_score"] for row in own for side in ("chosen", "rejected")]
    assert (model.mean, model.std) == pytest.approx((np.mean(scores), np.std(scores)))
    assert len(own) == trained.read_results()["held_out_pairs"] < len(rows)


def test_a_model_is_saved_as_it_was_trained_where_scores_are_taken_in_bfloat16(
    reward_values: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paddock.backends.local.scoring_dtype", lambda device: torch.bfloat16)
    reward.run(parse(RewardSettings, {**reward_values, "epochs": 1}, "test"), StageDir(tmp_path))
    assert load_reward_model(tmp_path / "model").embedding.weight.dtype == torch.float32


def test_figures_are_those_of_the_models_own_domain_and_the_other_has_a_row():
    own = [ScoredPair("a", 3.0, 1.0, 3, 3, domain="safety"), ScoredPair("b", 1.0, 3.0, 3, 3)]
    other = [ScoredPair("c", -9.0, -7.0, 3, 3, domain="helpfulness")]
    figures = figures_of(own + other, "safety")
    assert (figures["accuracy"], figures["reward_mean"], figures["reward_std"]) == (0.5, 2.0, 1.0)
    assert (figures["held_out_pairs"], figures["held_out_pairs_of_other_domain"]) == (2, 1)
    assert figures["calibration"] == figures_of(own, "safety")["calibration"]
    rows = {(row["metric"], row["group"]): row["estimate"] for row in figures["scores"]}
    assert rows["reward_accuracy", "overall"] == 0.5
    assert rows["reward_accuracy", "domain: helpfulness"] == 0.0


def test_the_size_of_the_model_and_of_its_data_are_told(trained):
    results = trained.read_results()
    model = load_reward_model(trained.model)
    assert results["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert 2 * results["data"]["comparisons"] == results["data"]["train"]["sequences"]


def test_the_validation_loss_is_that_of_the_own_domain(trained):
    results = trained.read_results()
    assert results["data"]["validation"]["sequences"] == 2 * results["held_out_pairs"]


def test_the_statistics_are_table_6s(trained):
    data = trained.read_results()["data"]
    assert data["comparisons"] + len(trained.samples_file.read_text().splitlines()) == 120
    assert data["turns"] == 1.0
    assert data["tokens_an_example"] == pytest.approx(data["tokens_a_prompt"] + data["tokens_a_reply"])


def test_rules_stand_beside_the_model_on_the_pairs_of_its_own_domain():
    own, other = ScoredPair("a", 1.0, 0.0, 3, 9, domain="safety"), ScoredPair("b", 0.0, 1.0, 9, 3, domain="helpfulness")
    scores = figures_of([other, own], "safety", {"bag_of_words": [1.0, -1.0]})["scores"]
    found = {row["metric"]: row["estimate"] for row in scores if row["group"] == "overall"}
    assert found["reward_accuracy"] == found["gain_over_bag_of_words"] == 1
    assert found["bag_of_words"] == found["longer_is_better"] == 0
    assert found["chance"] == 0.5


def test_the_rules_are_fit_on_what_is_learnt_from(trained):
    rows = {(row["metric"], row["group"]): row["estimate"] for row in trained.read_results()["scores"]}
    # Every rejected reply has an "and" and no chosen one has: words tell them apart, and so does the shorter length.
    assert rows["bag_of_words", "overall"] == 1
    assert rows["longer_is_better", "overall"] < 0.5


def test_one_held_out_prompt_has_an_accuracy_without_an_interval():
    row = figures_of([ScoredPair("p", 1.0, 0.0, 3, 3)], "helpfulness")["scores"][0]
    assert (row["estimate"], row["lower"], row["upper"]) == (1.0, None, None)


def test_the_trained_weights_are_saved_before_they_are_judged(reward_values, tmp_path, monkeypatch):
    monkeypatch.setattr(reward, "held_out_pairs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reward.run(parse(RewardSettings, {**reward_values, "epochs": 1}, "test"), StageDir(tmp_path / "reward"))
    assert load_reward_model(tmp_path / "reward" / "model").config.dim == 32


def test_held_out_pairs_are_scored_by_the_saved_model_as_scorers_open_it(reward_values, tmp_path, monkeypatch):
    opened = []

    def opening(folder, *precision):
        opened.append(open_local_scorer(folder, *precision))
        return opened[-1]

    monkeypatch.setattr(reward, "open_local_scorer", opening)
    results = reward.run(parse(RewardSettings, {**reward_values, "epochs": 1}, "test"), StageDir(tmp_path / "reward"))
    assert (opened[0].model.mean, opened[0].model.std) == (results["reward_mean"], results["reward_std"])


def test_pairs_of_one_conversation_fall_on_one_side_and_count_as_one(reward_values, preferences, tmp_path):
    rows = [json.loads(line) for line in preferences.read_text().splitlines()]
    later = [{"role": "assistant", "content": "Who?"}, {"role": "user", "content": "Anna."}]
    longer = write_rows(tmp_path / "longer.jsonl", [{**row, "prompt": row["prompt"] + later} for row in rows])
    settings = parse(RewardSettings, {**reward_values, "data": [str(preferences), str(longer)]}, "test")
    found = preference_rows(settings, Tokenizer.load(Path(settings.model)), 160)
    held_out = list(found.held_out())
    assert {len(preference.prompt) for preference in held_out} == {1, 3}
    openings = {opening_of(preference.prompt) for preference in held_out}
    assert not openings & {opening_of(preference.prompt) for preference in found.learnt_from(ReadReport())}
    scored = held_out_pairs(Constant(Tokenizer.load(Path(settings.model))), found, 160)
    assert accuracy_rows([pair for pair, _ in scored])[0]["n"] == len(openings) < len(scored)


@pytest.fixture
def by_models(reward_values, preferences, tmp_path) -> dict:
    """Every prompt answered by the models A to F, each against the reference."""
    rows = [json.loads(line) for line in preferences.read_text().splitlines()]
    sides = [("reference", name) if number % 2 else (name, "reference") for number, name in enumerate("ABCDEF")]
    named = [{**row, "chosen_model": one, "rejected_model": two} for row in rows for one, two in sides]
    return {**reward_values, "data": [str(write_rows(tmp_path / "models.jsonl", named))], "domain": "safety"}


def test_held_out_models_are_not_learnt_from_and_they_alone_judge(by_models):
    settings = parse(RewardSettings, {**by_models, "held_out_models": ["B", "E"]}, "test")
    found, report = preference_rows(settings, Tokenizer.load(Path(settings.model)), 160), ReadReport()

    def models(pairs):
        return {name for pair in pairs for name in (pair.chosen_model, pair.rejected_model)}

    learnt, held_out = list(found.learnt_from(report)), list(found.held_out())
    assert models(held_out) == {"B", "E", "reference"}
    assert models(learnt) == {"A", "C", "D", "F", "reference"}
    assert not {opening_of(pair.prompt) for pair in held_out} & {opening_of(pair.prompt) for pair in learnt}
    assert report.not_learnt == len(learnt) / 4 * 2


def test_validation_files_are_judged_by_the_held_out_models_alone(by_models):
    values = {**by_models, "validation": by_models["data"], "held_out_models": ["F"]}
    found = preference_rows(parse(RewardSettings, values, "test"), Tokenizer.load(Path(values["model"])), 160)
    assert {pair.chosen_model for pair in found.held_out()} == {"reference"}
    assert {pair.rejected_model for pair in found.held_out()} == {"F"}


def test_a_held_out_model_that_no_pair_names_is_refused_before_any_work(by_models, reward_values, tmp_path):
    settings = parse(RewardSettings, {**by_models, "held_out_models": ["A", "referense"]}, "test")
    for work in (reward.plan, lambda some: reward.run(some, StageDir(tmp_path / "reward"))):
        with pytest.raises(SettingsError, match=r'no pair is of the model "referense"\. Did you mean "reference"'):
            work(settings)
    with pytest.raises(SettingsError, match="The pairs name no models"):
        reward.plan(parse(RewardSettings, {**reward_values, "held_out_models": ["A"]}, "test"))


class Constant:
    """A scorer that tells nothing apart."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def score_ids(self, sequences):
        return [0.0] * len(sequences)


def test_a_dry_run_counts_what_a_run_reads(reward_values, trained):
    planned = reward.plan(parse(RewardSettings, reward_values, "test"))
    assert planned["steps"] == trained.read_results()["steps"]


def test_a_dry_run_reckons_with_the_rows_that_a_step_has(reward_values, tmp_path):
    """Short pairs share rows of 160 tokens: a step of 32 has 8 or 16 rows."""
    path = write_rows(tmp_path / "short.jsonl", [{"prompt": f"{n}?", "chosen": "a", "rejected": "b"} for n in range(64)])
    values = {**reward_values, "data": [str(path)], "batch_size": 32, "validation_share": 0.0}
    settings = parse(RewardSettings, values, "test")
    planned, config = reward.plan(settings), read_config(settings.model)
    store = preference_rows(settings, Tokenizer.load(Path(settings.model)), 160)
    store.write(tmp_path / "store", store.learnt_from(ReadReport()))
    rows = PackedPairs(store.open(tmp_path / "store"), 32, 160, 0).rows
    assert rows < 32
    assert (planned["rows"], planned["steps"]) == (64, 8)
    parameters = planned["parameters"]
    assert planned["memory_bytes"] == parameters * 16 + rows * 160 * saved_elements(config, False) * 4
    assert planned["estimated_seconds"] == pytest.approx(estimate_seconds(parameters, 8 * rows * 160, best_device(), 1))


def test_an_overlong_pair_is_named_or_skipped(reward_values, preferences):
    values = {**reward_values, "context": 60}
    with pytest.raises(DataError, match=r"preferences.jsonl:\d+.* tokens together, .* and 60 is the most"):
        reward.plan(parse(RewardSettings, values, "test"))
    with pytest.raises(DataError, match="nothing was read"):
        reward.plan(parse(RewardSettings, {**values, "context": 10, "overlong": "skip"}, "test"))


def test_pairs_that_are_too_long_are_counted_on_both_sides(reward_values, preferences, tmp_path):
    rows = [json.loads(line) for line in preferences.read_text().splitlines()]
    for number, row in enumerate(rows):
        row.update(domain="helpfulness", chosen=row["chosen"] + " Anna." * 40 * (number % 10 == 0))
    mixed = write_rows(tmp_path / "mixed.jsonl", rows)
    values = {**reward_values, "data": [str(mixed)], "overlong": "skip", "epochs": 1}
    results = reward.run(parse(RewardSettings, values, "test"), StageDir(tmp_path / "reward"))
    train, validation = (results["data"][side] for side in ("train", "validation"))
    assert min(train["too_long"], validation["too_long"]) > 0
    assert train["too_long"] + validation["too_long"] == 12


def test_identical_replies_are_named(reward_values, tmp_path):
    row = {"prompt": "Hello?", "chosen": "Yes.", "rejected": "Yes."}
    path = write_rows(tmp_path / "same.jsonl", [row])
    with pytest.raises(DataError, match=r"same.jsonl:1.*same reply"):
        reward.plan(parse(RewardSettings, {**reward_values, "data": [str(path)]}, "test"))


def test_the_other_domain_makes_up_its_share_at_most(reward_values):
    # 80 pairs of helpfulness and 40 of safety
    settings = parse(RewardSettings, {**reward_values, "other_share": 0.1, "validation_share": 0.0}, "test")
    assert share_of_others(settings) == pytest.approx(80 / 9 / 40)
    assert share_of_others(settings.model_copy(update={"other_share": 0.5})) == 1.0
    planned = reward.plan(settings)
    assert 80 < planned["rows"] < 100


@pytest.mark.parametrize(("steps", "warmup"), [(1000, 30), (100, 5), (3, 3)])
def test_warmup_is_3_percent_and_at_least_5_steps(reward_values, steps, warmup):
    assert warmup_of(parse(RewardSettings, reward_values, "test"), steps) == warmup


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def test_a_packed_pair_has_the_loss_and_the_gradient_of_its_two_dialogs_apart(reward_values, trained, tmp_path):
    settings = parse(RewardSettings, reward_values, "test")
    rows = preference_rows(settings, Tokenizer.load(Path(settings.model)), 160)
    rows.write(tmp_path / "store", rows.learnt_from(ReadReport()))
    packed = PackedPairs(rows.open(tmp_path / "store"), 8, 160, 0)
    batch, model = packed.batch(0), load_reward_model(trained.model)
    total, count = preference_loss("none", 0.0)(model, batch, torch.device("cpu"))
    total.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    apart = torch.zeros(())
    for pair in epoch_order(len(packed.store), 0, 0)[:8].tolist():
        shared, *rests = (part.tolist() for part in packed.store.parts(pair))
        chosen, rejected = (model(torch.tensor([shared + rest]))[:, -1] for rest in rests)
        apart = apart + ranking_loss(chosen, rejected, torch.zeros(1))
    apart.backward()
    assert count == 8
    assert total.item() == pytest.approx(apart.item(), rel=1e-5)
    for together, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(together, parameter.grad, atol=2e-5, rtol=1e-4)


def test_the_margin_stands_within_the_sigmoid():
    loss = ranking_loss(torch.tensor([2.0, 0.5]), torch.tensor([1.0, 1.0]), torch.tensor([1 / 3, 0.0]))
    assert loss.item() == pytest.approx(-log_sigmoid(1 - 1 / 3) - log_sigmoid(-0.5))


def test_the_safety_loss_counts_known_replies_alone():
    loss = safety_loss(torch.tensor([2.0, 3.0, -1.0]), torch.tensor([1, -1, 0]))
    assert loss.item() == pytest.approx(-log_sigmoid(2.0) - log_sigmoid(1.0))


class Table(torch.nn.Module):
    """Gives every place its token id as its score."""

    def forward(self, token_ids, segment_ids, branches):
        return token_ids.float()


def a_batch() -> PairBatch:
    """Two rows: a pair rated significantly, chosen safe over unsafe, and one unrated; the second row has one pair."""
    labels = np.array([[(0, 0, 1, 0, 1, 1), (-1, 0, -1, -1, 1, 1)], [(3, 1, 0, 0, 1, 1), (0, 0, 0, 0, 0, 0)]], LABELS)
    return PairBatch(
        np.array([[0, 5, 0, 3, 2, 4], [1, 2, 0, 0, 0, 0]]),
        np.array([[1, 1, 2, 2, 3, 4], [1, 2, 0, 0, 0, 0]], np.int32),
        np.zeros((2, 6), np.int32),
        np.zeros((2, 6), np.int64),
        np.array([[1, 4], [0, -1]]),
        np.array([[3, 5], [1, -1]]),
        labels,
        ("pairs 0, 1", "pairs 2"),
    )


@pytest.mark.parametrize(("margin", "first"), [("none", 0.0), ("small", 1.0), ("large", 3.0)])
def test_a_batch_is_the_sum_over_its_pairs(margin, first):
    total, count = preference_loss(margin, 0.0)(Table(), a_batch(), torch.device("cpu"))
    assert count == 3
    assert total.item() == pytest.approx(-log_sigmoid(2 - first) - log_sigmoid(-2) - log_sigmoid(-1))


def test_the_auxiliary_loss_is_the_mean_of_both_replies():
    plain, _ = preference_loss("none", 0.0)(Table(), a_batch(), torch.device("cpu"))
    with_safety, _ = preference_loss("none", 0.4)(Table(), a_batch(), torch.device("cpu"))
    replies = -log_sigmoid(5) - log_sigmoid(-3) - log_sigmoid(-1) - log_sigmoid(-2)
    assert (with_safety - plain).item() == pytest.approx(0.4 * replies / 2, rel=1e-5)


def test_rows_add_up_to_their_batch():
    loss, device = preference_loss("small", 0.3), torch.device("cpu")
    whole, parts = loss(Table(), a_batch(), device), [loss(Table(), a_batch().rows(row, row + 1), device) for row in (0, 1)]
    assert sum(total.item() for total, _ in parts) == pytest.approx(whole[0].item())
    assert sum(count for _, count in parts) == whole[1]
