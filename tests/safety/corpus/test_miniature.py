"""The miniature corpus: each measured figure lies within the sampling interval of its rate by construction."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest

from paddock.miniature.documents import DOCUMENT_SHARES, document_kinds, true_rates, write_documents
from paddock.miniature.world import WorldSettings, make_world
from paddock.run_dir import StageDir
from paddock.safety.corpus import linear
from paddock.stages import corpus

DOCUMENTS = 30_000
SHARES = {**DOCUMENT_SHARES, "web": 0.2, "foreign": 0.05, "rant": 0.02}  # more of what is rare, for more power
STANDARD_ERRORS = 4


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, settings_of: Callable) -> dict:
    folder = tmp_path_factory.mktemp("world")
    world = make_world(WorldSettings(seed=2))
    with (folder / "documents.jsonl").open("w") as file:
        for document in write_documents(Random(2), world, DOCUMENTS, SHARES):
            file.write(json.dumps({"text": document.text}) + "\n")
    rng = Random(5)
    lines = {
        kind: [line for _ in range(300) for line in document_kinds()[kind].write(rng, world).split("\n")]
        for kind in ("rant", "person", "place", "skills", "story", "letter", "questions", "advice")
    }
    texts = [line for of_kind in lines.values() for line in of_kind]
    toxic = [kind == "rant" for kind, of_kind in lines.items() for _ in of_kind]
    linear.train(texts, toxic, seed=0).save(folder / "toxicity")
    settings = settings_of(
        data=[str(folder / "documents.jsonl")],
        measures=["pronouns", "identities", "languages", "toxicity", "duplicates"],
        classifier=str(folder / "toxicity"),
        toxicity_share=1,
        workers=1,
    )
    stage = StageDir(folder / "corpus")
    stage.path.mkdir()
    corpus.run(settings, stage)
    return json.loads((stage.path / corpus.REPORT_FILE).read_text())


TRUTH = true_rates(SHARES)


def near(interval: dict, rate: float) -> bool:
    error = (rate * (1 - rate) / interval["n"]) ** 0.5
    return abs(interval["estimate"] - rate) <= STANDARD_ERRORS * error + 1e-9


@pytest.mark.parametrize("name", ["gendered", "any"])
def test_documents_with_pronouns_are_as_many_as_were_written(report: dict, name: str):
    assert near(report["pronouns"][name]["of_all"], TRUTH["pronouns"][name])


@pytest.mark.parametrize("name", ["she", "he", "they", "first", "second", "third"])
def test_pronouns_have_their_share_of_all_and_within(report: dict, name: str):
    row = report["pronouns"]["unspecified" if name == "they" else name]
    (within,) = (row[key] for key in row if key.startswith("within"))
    assert near(row["of_all"], TRUTH["pronouns"][name])
    assert near(within, TRUTH["pronouns"]["within"][name])


@pytest.mark.parametrize("axis", TRUTH["identities"])
def test_axes_and_descriptors_have_their_shares(report: dict, axis: str):
    row, truth = report["identities"]["axes"][axis], TRUTH["identities"][axis]
    assert near(row["of_all"], truth["documents"])
    for descriptor, share in truth["descriptors"].items():
        assert near(row["descriptors"][descriptor]["within_axis"], share), descriptor
    assert set(row["descriptors"]) == set(truth["descriptors"])


@pytest.mark.parametrize("code", [code for code in TRUTH["languages"] if code != "en"])
def test_languages_have_their_shares(report: dict, code: str):
    assert near(report["languages"]["languages"][code]["of_all"], TRUTH["languages"][code])


def test_rude_documents_are_found_by_a_classifier_of_rude_lines(report: dict):
    toxic = report["toxicity"]["toxic"]
    english = 1 - TRUTH["kinds"]["foreign"]
    assert near(toxic, TRUTH["rude_documents"] / english)
    assert toxic["n"] > 0.8 * DOCUMENTS
