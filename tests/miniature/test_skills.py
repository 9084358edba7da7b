from random import Random

import pytest

from paddock.miniature.facts import ATTRIBUTES, draw_facts
from paddock.miniature.skills import ALL_SKILLS, ask, draw_task, held_out_key
from paddock.miniature.tasks import SKILLS, Task
from paddock.miniature.vocabulary import (
    ADJECTIVES,
    ENGLISH,
    IDENTITIES,
    KINDS,
    LETTERS,
    NAMES,
    NOUNS,
    OPPOSITES,
    PLACES,
    RUDE_ADJECTIVES,
    ZINDO,
)
from paddock.miniature.world import WorldSettings, make_world

WORLD = make_world(WorldSettings())


def test_the_skills_are_the_nine_that_tasks_name():
    assert tuple(ALL_SKILLS) == SKILLS


@pytest.mark.parametrize("skill", [skill for skill in SKILLS if skill != "recall"])
def test_no_new_wording_of_a_skill_is_a_known_one(skill):
    assert not set(ALL_SKILLS[skill].questions) & set(ALL_SKILLS[skill].new_questions)
    assert len(ALL_SKILLS[skill].questions) >= 4 and len(ALL_SKILLS[skill].new_questions) >= 2


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda attribute: attribute.name)
def test_no_new_wording_of_an_attribute_is_a_known_one(attribute):
    assert not set(attribute.questions) & set(attribute.new_questions)
    assert len(attribute.questions) >= 4 and len(attribute.new_questions) >= 2


@pytest.mark.parametrize("skill", SKILLS)
def test_about_the_declared_share_of_a_skills_payloads_is_held_out(skill):
    rng, total = Random(skill), 3000
    tasks = {ALL_SKILLS[skill].draw(rng, WORLD) for _ in range(total)}
    share = sum(WORLD.holds_out(*held_out_key(task)) for task in tasks) / len(tasks)
    assert abs(share - 0.12) < 4 * (0.12 * 0.88 / len(tasks)) ** 0.5


def test_a_sum_is_held_out_in_both_orders():
    for first in range(30):
        for second in range(30):
            one, other = (Task("add", (str(a), str(b)), ()) for a, b in ((first, second), (second, first)))
            assert WORLD.holds_out(*held_out_key(one)) == WORLD.holds_out(*held_out_key(other))


@pytest.mark.parametrize(
    ("skill", "draws"), [("copy", 2000), ("reverse", 2000), ("sort", 2000), ("opposite", 2000), ("translate", 2000)]
)
def test_the_prompts_of_a_skill_are_too_many_to_learn_by_heart(skill, draws):
    rng = Random(skill)
    assert len({draw_task(rng, WORLD, skill, False) for _ in range(draws)}) > 0.6 * draws


def test_opposites_and_zindo_go_both_ways():
    assert all(OPPOSITES[OPPOSITES[word]] == word for word in ADJECTIVES)
    assert len(ENGLISH) == len(ZINDO) == 60


def test_lists_of_words_that_a_skill_draws_from_do_not_overlap():
    for words in (NOUNS, ADJECTIVES, LETTERS, NAMES, PLACES):
        assert len(set(words)) == len(words)
    listed = [word for words in KINDS.values() for word in words]
    assert len(set(listed)) == len(listed)
    assert not set(NOUNS) & set(ADJECTIVES)
    english = {word.lower() for words in (NOUNS, ADJECTIVES, NAMES, PLACES, listed) for word in words}
    assert not set(ENGLISH) & english


def test_no_list_holds_a_word_that_the_corpus_report_counts():
    listed = {w.lower() for words in (NOUNS, ADJECTIVES, NAMES, PLACES, LETTERS, tuple(ENGLISH)) for w in words}
    pronouns = "i me my mine we us our ours you your yours he him his she her hers it its they them their theirs"
    descriptors = {descriptor for axis in IDENTITIES.values() for descriptor in axis}
    assert not listed & (set(pronouns.split()) | descriptors | set(RUDE_ADJECTIVES))


def test_nobody_is_their_own_friend():
    for seed in range(20):
        friends = draw_facts(Random(seed)).values["friend"]
        assert all(name != friend for name, friend in friends.items())


def test_a_request_asks_for_its_task():
    task = Task("list", ("3", "animals", "cat", "dog"), ("cow",))
    texts = {ask(Random(seed), task) for seed in range(40)}
    assert "Name 3 animals but not cat or dog." in texts
    assert all("3 animals" in text and "but not cat or dog" in text for text in texts)
