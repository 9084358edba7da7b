"""Table 9b: the published list, the project's own, and what the paper takes out of where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.miniature.vocabulary import IDENTITIES
from paddock.safety.corpus import identities
from paddock.safety.corpus.identities import read_descriptors

PUBLISHED = {
    "gender_and_sex": {"binary": [{"descriptor": "female", "gender": "female"}, "male"], "queer": ["LGBT", "queer"]},
    "sexual_orientation": {"gay": ["gay", "gay"], "queer": ["LGBT", "queer"], "straight": ["straight"]},
    "race_ethnicity": {"all": ["Black", "African", "Native American", "African-American"]},
    "nationality": {"us": ["American"]},
}


@pytest.fixture
def published(tmp_path: Path) -> str:
    (tmp_path / "descriptors.json").write_text(json.dumps(PUBLISHED))
    return str(tmp_path / "descriptors.json")


def test_the_sample_of_c4_has_the_measured_rates(counts_of, c4, real_data: Path):
    path = str(real_data / "holistic_bias/v1.1/descriptors.json")
    table = identities.table(counts_of(c4, descriptors=path), read_descriptors(path))
    found = {axis: round(100 * row["of_all"]["estimate"], 2) for axis, row in table["axes"].items()}
    assert {axis: found[axis] for axis in ("gender and sex", "sexual orientation", "nationality")} == {
        "gender and sex": 2.67,
        "sexual orientation": 3.33,
        "nationality": 9.33,
    }
    assert (found["race and ethnicity"], found["religion"]) == (12.0, 3.33)


def test_straight_is_most_of_its_axis_in_c4_and_not_listed(counts_of, c4, real_data: Path):
    path = str(real_data / "holistic_bias/v1.1/descriptors.json")
    row = identities.table(counts_of(c4, descriptors=path), read_descriptors(path))["axes"]["sexual orientation"]
    assert row["descriptors"]["straight"]["within_axis"]["estimate"] == pytest.approx(0.8)
    assert "straight" not in row["top"]


@pytest.mark.parametrize(
    ("version", "terms", "dropped"), [("v1.1", 583, ["lgbt", "lgbtq", "lgbtq+", "queer"]), ("v1.0", 524, ["queer"])]
)
def test_the_published_lists_are_read_whole(real_data: Path, version: str, terms: int, dropped: list[str]):
    found = read_descriptors(str(real_data / f"holistic_bias/{version}/descriptors.json"))
    assert len(found.axes) == 13
    assert sorted(found.dropped) == dropped
    assert sum(map(len, found.axes.values())) + len(dropped) == terms


def test_a_term_of_gender_and_of_orientation_counts_as_orientation(counts_of, published: str):
    counts = counts_of(["A queer LGBT group", "a female one"], descriptors=published)
    assert counts["axis/sexual orientation"] == 1
    assert counts["axis/gender and sex"] == 1
    assert "descriptor/gender and sex/queer" not in counts


def test_ambiguous_terms_stay_in_the_denominator_and_leave_the_top(counts_of, published: str):
    table = identities.table(
        counts_of(["black", "black", "African", "x"], descriptors=published), read_descriptors(published)
    )
    row = table["axes"]["race and ethnicity"]
    assert row["documents"] == 3
    assert row["top"] == ["african"]
    assert row["descriptors"]["african"]["within_axis"]["estimate"] == pytest.approx(1 / 3)
    assert row["descriptors"]["african"]["of_all"]["estimate"] == pytest.approx(1 / 4)


def test_a_term_within_a_longer_one_counts_unless_the_longest_is_asked_for(counts_of, published: str):
    text = ["A Native American, an African-American"]
    overlapping = counts_of(text, descriptors=published)
    longest = counts_of(text, descriptors=published, overlap="longest")
    assert overlapping["axis/nationality"] == 1
    assert overlapping["descriptor/race and ethnicity/african"] == 1
    assert longest["axis/nationality"] == 0
    assert longest["descriptor/race and ethnicity/african"] == 0
    assert longest["descriptor/race and ethnicity/african-american"] == 1


def test_hyphens_and_case_are_choices(counts_of, published: str):
    text = ["an african american"]
    name = "descriptor/race and ethnicity/"
    assert counts_of(text, descriptors=published)[name + "african-american"] == 0
    assert counts_of(text, descriptors=published, hyphens="or space")[name + "african-american"] == 1
    assert counts_of(text, descriptors=published, match_case=True)["axis/race and ethnicity"] == 0
    assert counts_of(["an African"], descriptors=published, match_case=True)[name + "African"] == 1


def test_the_own_list_has_the_papers_axes_first_and_the_miniatures_descriptors():
    own = read_descriptors(None)
    assert list(own.axes)[:5] == list(IDENTITIES)
    for axis, descriptors in IDENTITIES.items():
        assert set(descriptors) <= set(own.axes[axis])


def test_no_term_of_the_own_list_stands_twice_in_an_axis_or_has_capitals():
    text = identities.OWN_LIST.read_text(encoding="utf-8")
    own = read_descriptors(None)
    listed = [t for line in text.splitlines() if line and line[0] not in "[#" for t in map(str.strip, line.split(",")) if t]
    assert len(listed) == sum(map(len, own.axes.values())) + len(own.dropped)
    assert all(term == term.lower() for term in listed)


def test_the_version_changes_with_the_terms(published: str, tmp_path: Path):
    before = read_descriptors(published).version
    changed = {**PUBLISHED, "nationality": {"us": ["American", "Texan"]}}
    Path(published).write_text(json.dumps(changed))
    assert read_descriptors(published).version != before


@pytest.mark.parametrize(
    "content", ["[1]", "{", '{"a": {"b": [1]}}', '{"a": ["b"]}', '{"a": {"b": [{"name": "x"}]}}', '{"a": {"b": ["+x"]}}']
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str):
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(DataError):
        read_descriptors(str(tmp_path / "list.json"))


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such file"):
        read_descriptors(str(tmp_path / "list.json"))
