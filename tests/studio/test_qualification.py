from __future__ import annotations

import json

import pytest

from paddock.studio.results import answers


@pytest.fixture
def test_file(tmp_path, pair):
    """Five items of a test; A is better in the file's sides."""
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(pair(number, expected=[1, 2, 3])) + "\n" for number in range(5)))
    return str(file)


def take(annotator, right: int, of: int = 5) -> None:
    """Answer test items, `right` of them as expected: the reply that the file calls a is better."""
    for number in range(of):
        shown = annotator.next_item()
        a_is_shown_as_a = shown.replies["reply-a"].startswith("Reply a")
        prefers_a = number < right
        annotator.send(shown, {"rating": "2" if prefers_a == a_is_shown_as_a else "6"})


def test_who_passes_goes_on_to_real_items(make_studio, visit, test_file):
    studio = make_studio(qualification={"data": test_file, "pass_share": 0.8})
    ada = visit(studio)
    assert "a test of 5 items" in ada.client.get("/").text
    take(ada, right=4)
    assert ada.answer_all(lambda _: {"rating": "4"}) == 3
    assert len(answers(studio.engine)) == 3
    assert "4 of 5 right" in visit(studio, "lead").client.get("/lead").text


def test_who_fails_gets_no_real_item_and_is_told(make_studio, visit, test_file):
    studio = make_studio(qualification={"data": test_file, "pass_share": 0.8})
    ada = visit(studio)
    take(ada, right=3)
    assert ada.next_item() is None
    assert "3 of 5 answers of the test" in ada.client.get("/rate").text
    assert answers(studio.engine) == []


def test_the_score_is_the_leads_to_set(make_studio, visit, test_file):
    studio = make_studio(qualification={"data": test_file, "pass_share": 0.6})
    ada = visit(studio)
    take(ada, right=3)
    assert ada.next_item() is not None


def test_a_finished_test_cannot_be_taken_back(make_studio, visit, test_file):
    studio = make_studio(qualification={"data": test_file})
    ada = visit(studio)
    take(ada, right=2, of=3)
    page = ada.client.get("/rate").text
    assert "Test: 3 of 5 done" in page
    fields = {key: page.split(f'name="{key}" value="')[1].split('"')[0] for key in ("csrf", "form_key")}
    assert ada.client.post("/undo", data=fields).status_code == 200  # while it lasts
    assert len(answers(studio.engine, ("qualification",))) == 2
    take(ada, right=0, of=3)
    assert ada.client.post("/undo", data={**fields, "form_key": "another-key"}).status_code == 409


def test_attention_checks_come_among_real_items_and_are_counted(make_studio, visit, tmp_path, pair):
    checks = tmp_path / "checks.jsonl"
    rows = [pair(number, prompt=f"Check {number}: say that A is much better?", expected=[1, 7]) for number in range(9)]
    checks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    studio = make_studio(count=20, attention={"data": str(checks), "every": 5})
    ada = visit(studio)
    order = []

    def judge(shown) -> dict[str, str]:
        is_check = shown.messages[0][1].startswith("Check")
        order.append(is_check)
        return {"rating": "1" if is_check else "4"}

    ada.answer_all(judge)
    assert sum(not is_check for is_check in order) == 20
    assert 4 <= sum(order) <= 5
    blocks = [place - number for number, place in enumerate(place for place, is_check in enumerate(order) if is_check)]
    assert [block // 5 for block in blocks] == list(range(len(blocks)))  # one in every five real items
    assert {one.right for one in answers(studio.engine, ("attention",))} == {True}
    assert f"{sum(order)} of {sum(order)}" in visit(studio, "lead").client.get("/lead").text
