"""Verdicts on replies: rules where there are some, a judge for the rest."""

import json
from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.evaluate.obedience import Answered, Obedience, read_languages, read_speaks
from paddock.protocols import Completion
from paddock.text.constraints import Constraint

FIGURE, FREE = Constraint("figure", "Napoleon"), Constraint("other", "Be brief.")


def never(text: str, language: str) -> bool:
    return False


class Judge:
    """Says yes to whatever holds the word "brief", no to what holds "long", and rambles else."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def complete(self, prompts, sampling):
        self.asked += [prompt.messages[-1].content for prompt in prompts]
        replies = [text.partition("The assistant replied:")[2] for text in self.asked[-len(prompts) :]]
        return [[Completion("Yes." if "brief" in r else "No" if "long" in r else "Well, maybe")] for r in replies]


def verdict(constraints: tuple[Constraint, ...], reply: str, judge: Judge | None = None) -> bool | None:
    return Obedience(never, judge).verdicts([Answered(constraints, "Hi", reply)])[0]


def test_a_rule_decides_where_there_is_one():
    assert verdict((FIGURE,), "I, Napoleon, say no.") is True
    assert verdict((FIGURE,), "No.") is False


def test_the_judge_decides_the_rest():
    judge = Judge()
    replies = [Answered((FREE,), "Hi", reply) for reply in ("brief", "long", "else")]
    assert Obedience(never, judge).verdicts(replies) == [True, False, None]
    assert len(judge.asked) == 3
    assert all("was told: Be brief." in text and "wrote: Hi" in text for text in judge.asked)


def test_without_a_judge_what_has_no_rule_is_undecided():
    assert verdict((FREE,), "brief") is None


def test_of_several_constraints_one_that_fails_is_enough():
    assert verdict((FIGURE, FREE), "brief, says Napoleon", Judge()) is True
    assert verdict((FIGURE, FREE), "brief", Judge()) is False
    assert verdict((FIGURE, FREE), "brief") is False
    assert verdict((FIGURE, FREE), "Napoleon") is None


@pytest.mark.parametrize("reply", ["", "  \n", "Napoleon [INST]"])
def test_a_reply_that_no_dialog_can_hold_keeps_nothing(reply: str):
    assert verdict((FIGURE,), reply) is False
    assert verdict((FREE,), reply, Judge()) is False


def test_no_reply_has_no_verdict():
    assert Obedience(never).verdicts([]) == []


def test_a_toy_language_is_told_by_its_words(tmp_path: Path):
    file = tmp_path / "languages.json"
    file.write_text(json.dumps({"vocabularies": {"Zindo": ["so", "gara"]}, "neutral": ["Anna"]}))
    speaks = read_speaks(str(file))
    assert speaks("so gara Anna", "Zindo") and not speaks("it is cold", "Zindo")


def test_the_languages_of_the_rule_are_known(tmp_path: Path):
    (tmp_path / "languages.json").write_text(json.dumps({"vocabularies": {"Zindo": ["so"]}, "neutral": []}))
    knows, mend = read_languages(str(tmp_path / "languages.json"))
    assert knows("Zindo") and not knows("French")
    assert mend.endswith("languages.json: Zindo")
    knows, mend = read_languages(None)
    assert knows("French") and not knows("Zindo")
    assert "French" in mend


def test_without_a_file_of_words_fasttext_tells_languages():
    assert read_speaks(None)("Heute kaufen wir Brot und Milch auf dem Markt.", "German")


@pytest.mark.parametrize("content", ["{", "[]", '{"vocabularies": {}}', '{"vocabularies": [], "neutral": []}'])
def test_a_file_of_another_make_is_refused(tmp_path: Path, content: str):
    (tmp_path / "languages.json").write_text(content)
    with pytest.raises(DataError, match="no vocabularies of languages can be read"):
        read_speaks(str(tmp_path / "languages.json"))
