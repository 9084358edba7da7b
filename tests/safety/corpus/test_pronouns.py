"""Table 9a, against the values measured on real text and a case worked by hand."""

from __future__ import annotations

import pytest

from paddock.safety.corpus import pronouns


def rates(table: dict) -> dict[str, float]:
    found = {name: table[name]["of_all"]["estimate"] for name in ("gendered", "any")}
    for whole, parts in pronouns.WHOLES.items():
        found |= {part: table[part][f"within_{whole}"]["estimate"] for part in parts}
    return {name: round(100 * share, 2) for name, share in found.items()}


def test_the_sample_of_c4_has_the_measured_rates(counts_of, c4):
    assert rates(pronouns.table(counts_of(c4))) == {
        "gendered": 60.0,
        "any": 91.67,
        "she": 21.67,
        "he": 40.0,
        "unspecified": 85.0,
        "first": 71.64,
        "second": 66.18,
        "third": 84.0,
    }


def test_the_harmless_dialogs_have_the_measured_rates(counts_of, harmless):
    found = rates(pronouns.table(counts_of(harmless)))
    assert {name: found[name] for name in ("gendered", "she", "he", "unspecified")} == {
        "gendered": 52.72,
        "she": 14.44,
        "he": 21.0,
        "unspecified": 79.0,
    }


def test_both_denominators_stand_in_the_table(counts_of):
    table = pronouns.table(counts_of(["She sat.", "He and HERS", "you", "nothing"]))
    assert table["documents"] == 4
    assert table["gendered"] == {
        "documents": 2,
        "of_all": pytest.approx({"estimate": 0.5, "lower": 0.15, "upper": 0.85, "n": 4}, abs=1e-2),
    }
    assert table["she"]["documents"] == 2
    assert table["she"]["of_all"]["estimate"] == 0.5
    assert table["she"]["within_gendered"]["estimate"] == 1.0
    assert table["he"]["within_gendered"]["estimate"] == 0.5
    assert table["second"]["within_any"]["estimate"] == pytest.approx(1 / 3)
    assert table["third"]["within_any"]["estimate"] == pytest.approx(2 / 3)


def test_it_is_a_third_person_and_no_gender(counts_of):
    table = pronouns.table(counts_of(["It rains.", "Its end"]))
    assert table["third"]["documents"] == table["any"]["documents"] == 2
    assert table["gendered"]["documents"] == 0
    assert table["she"]["within_gendered"]["n"] == 0


@pytest.mark.parametrize("text", ["I'm", "you\u2019re", "it's", "THEY", "he/she", "i"])
def test_short_forms_and_capitals_count(counts_of, text: str):
    assert counts_of([text])["pronouns/any"] == 1


@pytest.mark.parametrize("text", ["hersy ours\u00e9 xhe", "ITS\u00c9", "theyll"])
def test_parts_of_other_words_do_not_count(counts_of, text: str):
    assert counts_of([text])["pronouns/any"] == 0


def test_english_alone_is_counted_where_it_is_asked_for(counts_of):
    texts = ["She sits in the garden and talks about the weather.", "Die Freundin sitzt im Garten. He! Das ist nicht schön."]
    table = pronouns.table(counts_of(texts, measures=["pronouns", "languages"], words_in="english"))
    assert table["documents"] == 1
    assert table["gendered"]["documents"] == 1
    assert table["he"]["documents"] == 0
