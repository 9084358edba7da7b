"""Preprompts: how they are drawn and placed, and what file of them is refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from paddock.errors import DataError, SettingsError
from paddock.safety.preprompts import read_preprompts, under
from paddock.text.dialog import Dialog, Message

PROMPT = Dialog((Message("user", "hi"), Message("assistant", "ho"), Message("user", "hu")), "p", "safety", "illicit")


def write(folder: Path, text: str) -> str:
    file = folder / "preprompts.yaml"
    file.write_text(text)
    return str(file)


def test_paddocks_own_have_a_template_for_each_category_of_the_paper():
    preprompts = read_preprompts(None)
    for category in ("illicit and criminal activities", "Hateful and harmful activities", "Unqualified advice"):
        assert "1. " in preprompts.template_of(category)
    texts = {preprompts.draw("generic", None, Random(seed)) for seed in range(200)}
    assert len(texts) > 4 * len(preprompts.adjectives)
    assert not any("{" in text for text in texts)


def test_adjectives_fill_a_preprompt_without_repeating(tmp_path: Path):
    preprompts = read_preprompts(write(tmp_path, 'adjectives: [kind, wise]\ngeneric: ["A {} and {} one."]'))
    drawn = {preprompts.draw_generic(Random(seed)) for seed in range(50)}
    assert drawn == {"A kind and wise one.", "A wise and kind one."}


def test_a_category_without_a_template_has_none(tmp_path: Path):
    preprompts = read_preprompts(write(tmp_path, "generic: [Be kind.]\ntemplates: {spam: No ads.}"))
    assert preprompts.draw("template", "spam and fraud", Random(0)) == "No ads."
    assert preprompts.draw("template", "illicit", Random(0)) is None
    assert preprompts.draw("template", None, Random(0)) is None


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ("generic: ['A {} one.']", DataError, "too few adjectives for 'A {} one.'"),
        ("generic: [Be kind.]\ntemplates: {a: 'x [INST] y'}", DataError, r"holds \[INST\], a tag"),
        ("generic: []", SettingsError, "generic"),
        ("generc: [Be kind.]", SettingsError, 'unknown setting "generc". Did you mean "generic"'),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, error: type, problem: str):
    with pytest.raises(error, match=f"(?s)preprompts.yaml.*{problem}"):
        read_preprompts(write(tmp_path, text))


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"nowhere.yaml: there is no such file of preprompts"):
        read_preprompts("nowhere.yaml")


def test_a_preprompt_stands_in_its_slot_and_the_prompt_stays_as_it_is():
    assert [m.content for m in under(PROMPT, "Be kind.", "system").messages] == ["Be kind.", "hi", "ho", "hu"]
    assert [m.content for m in under(PROMPT, "Be kind.", "head").messages] == ["hi", "ho", "Be kind.\n\nhu"]
    with_system = Dialog((Message("system", "Rhyme."), Message("user", "hi")))
    placed = under(with_system, "Be kind.", "system")
    assert placed.messages[0] == Message("system", "Be kind.\n\nRhyme.")
    assert (under(PROMPT, "x", "system").id, under(PROMPT, "x", "head").risk_category) == ("p", "illicit")
    assert PROMPT.messages[-1].content == "hu"
