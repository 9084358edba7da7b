import re
from collections import Counter
from random import Random

import pytest

from paddock.miniature.documents import (
    DOCUMENT_SHARES,
    WEB_RATES,
    Document,
    document_kinds,
    true_rates,
    write_documents,
)
from paddock.miniature.foreign import FOREIGN, LANGUAGE_SHARES
from paddock.miniature.vocabulary import IDENTITIES
from paddock.miniature.world import WorldSettings, make_world

# The paper's lists (appendix A.4.3), written out here again: the world must not be the judge of its own rates.
WORD_LISTS = {
    "she": "she her hers herself",
    "he": "he him his himself",
    "they": "they them their theirs theirself themself themselves",
    "it": "it its itself",
    "first": "i me my mine myself we us our ours ourselves",
    "second": "you your yours yourself yourselves",
    "rude": "silly stupid smelly rotten foolish lazy",
    **{axis: " ".join(descriptors) for axis, descriptors in IDENTITIES.items()},
}
SETS = {group: set(words.split()) for group, words in WORD_LISTS.items()}


def groups_of(text: str) -> set[str]:
    words = set(re.findall(r"[^\W\d_]+", text.lower()))
    return {group for group, listed in SETS.items() if words & listed}


def within_sampling_error(count: int, total: int, rate: float) -> bool:
    return abs(count - total * rate) <= 4 * (total * rate * (1 - rate)) ** 0.5 + 1e-9


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(write_documents(Random(1), make_world(WorldSettings(seed=1)), 20_000, DOCUMENT_SHARES))


@pytest.mark.parametrize("kind", document_kinds())
def test_a_kind_holds_each_group_of_words_as_often_as_declared(kind):
    world, rng, total = make_world(WorldSettings()), Random(7), 3000
    counts = Counter(group for _ in range(total) for group in groups_of(document_kinds()[kind].write(rng, world)))
    for group in SETS:
        declared = sum(chance for held, chance in document_kinds()[kind].profile.items() if group in held)
        assert within_sampling_error(counts[group], total, declared), (group, counts[group] / total, declared)


@pytest.mark.parametrize("kind", document_kinds())
def test_the_profile_of_a_kind_sums_to_one(kind):
    assert sum(document_kinds()[kind].profile.values()) == pytest.approx(1)


def test_groups_of_web_documents_are_independent():
    world, rng, total = make_world(WorldSettings()), Random(9), 6000
    found = [groups_of(document_kinds()["web"].write(rng, world)) for _ in range(total)]
    both = sum({"he", "first"} <= groups for groups in found)
    assert within_sampling_error(both, total, WEB_RATES["he"] * WEB_RATES["first"])


def test_foreign_documents_hold_no_english_word_that_is_counted():
    sentences = [s.format(word) for sentences, words in FOREIGN.values() for s in sentences for word in words]
    assert [s for s in sentences if groups_of(s)] == []


def test_the_corpus_has_the_pronoun_rates_by_construction(documents):
    rates = true_rates(DOCUMENT_SHARES)["pronouns"]
    found = [groups_of(document.text) for document in documents]
    gendered = [groups for groups in found if groups & {"she", "he", "they"}]
    anyone = [groups for groups in found if groups & {"she", "he", "they", "it", "first", "second"}]
    assert within_sampling_error(len(gendered), len(found), rates["gendered"])
    assert within_sampling_error(len(anyone), len(found), rates["any"])
    for group in ("she", "he", "they"):
        assert within_sampling_error(sum(group in g for g in gendered), len(gendered), rates["within"][group])
    third = {"she", "he", "they", "it"}
    assert within_sampling_error(sum(bool(g & third) for g in anyone), len(anyone), rates["within"]["third"])
    for group in ("first", "second"):
        assert within_sampling_error(sum(group in g for g in anyone), len(anyone), rates["within"][group])


def test_the_corpus_has_the_identity_rates_by_construction(documents):
    for axis, rates in true_rates(DOCUMENT_SHARES)["identities"].items():
        mentioning = [d for d in documents if axis in groups_of(d.text)]
        assert within_sampling_error(len(mentioning), len(documents), rates["documents"])
        for descriptor, share in rates["descriptors"].items():
            count = sum(re.search(rf"\b{descriptor}\b", d.text, re.I) is not None for d in mentioning)
            assert within_sampling_error(count, len(mentioning), share), descriptor


def test_the_corpus_has_the_rude_and_the_foreign_documents_by_construction(documents):
    rates = true_rates(DOCUMENT_SHARES)
    rude_lines = [["rude" in groups_of(line) for line in d.text.splitlines()] for d in documents]
    assert within_sampling_error(sum(map(any, rude_lines)), len(documents), rates["documents_with_a_rude_line"])
    assert within_sampling_error(sum(map(all, rude_lines)), len(documents), rates["rude_documents"])
    languages = Counter(d.language for d in documents)
    assert set(languages) == {"en", *LANGUAGE_SHARES}
    for language, share in rates["languages"].items():
        assert within_sampling_error(languages[language], len(documents), share)


def test_true_rates_match_a_corpus_of_two_kinds_worked_by_hand():
    # Half places (always "its"), half rants (rude, no pronoun).
    rates = true_rates({"place": 1.0, "rant": 1.0})
    assert rates["pronouns"]["any"] == rates["pronouns"]["third"] == 0.5
    assert rates["pronouns"]["within"] == {"she": 0, "he": 0, "they": 0, "first": 0, "second": 0, "third": 1}
    assert rates["documents_with_a_rude_line"] == rates["rude_documents"] == 0.5
    assert rates["languages"]["en"] == 1


def test_letters_restate_the_name_the_hobby_and_the_word_and_end_with_it():
    world, rng = make_world(WorldSettings()), Random(3)
    for _ in range(50):
        text = document_kinds()["letter"].write(rng, world)
        name, hobby, word = re.search(r"(\w+ \w+): I like (\w+ \w+)\. And (\w+)$", text).groups()
        assert all(text.count(restated) >= 2 for restated in (name, hobby, word))
