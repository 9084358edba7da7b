from __future__ import annotations

import re
import time

import pytest
import sqlalchemy as sa

from paddock.errors import CheckpointError
from paddock.protocols import Completion
from paddock.safety.red_team import read_log
from paddock.studio.assignment import find, next_assignment
from paddock.studio.browsing import read_page
from paddock.studio.conversation import holder_of
from paddock.studio.export import tables_of, write_exports
from paddock.studio.tables import assignments
from paddock.text.rows import preference_of

TWO = ({"name": "elder", "model": "m4"}, {"name": "younger", "model": "m5"})


class Slow:
    """The models of `TWO`, each by its own name."""

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def complete(self, prompts, sampling):
        time.sleep(0.02)
        return [[Completion(f"{self.spec} heard: {prompt.messages[-1].content}")] for prompt in prompts]


class Mute:
    def complete(self, prompts, sampling):
        return [[Completion("")] for _ in prompts]


class Broken:
    def complete(self, prompts, sampling):
        raise RuntimeError("out of memory")


def page_when_there(annotator, path: str) -> str:
    """The page once nothing waits for a model any more."""
    for _ in range(200):
        page = annotator.client.get(path).text
        if 'http-equiv="refresh"' not in page:
            return page
        time.sleep(0.02)
    raise AssertionError("no reply came")


def fields_of(page: str) -> dict[str, str]:
    return {key: re.search(f'name="{key}" value="([^"]+)"', page)[1] for key in ("csrf", "form_key")}


def say(annotator, path: str, text: str) -> str:
    fields = fields_of(annotator.client.get(path).text)
    annotator.client.post(f"{path}/say", data={**fields, "message": text})
    return page_when_there(annotator, path)


def here(annotator) -> str:
    """The path of the item before them."""
    return annotator.client.get("/rate").url.path


def test_a_red_team_conversation_is_held_rated_and_logged(make_studio, visit, tmp_path):
    studio = make_studio(task="red-team", sessions=2, models=TWO, open_model=Slow, annotators=("Ada",))
    ada = visit(studio)
    path = here(ada)
    page = ada.client.get(path).text
    assert 'name="rating"' not in page  # nothing to rate yet
    assert "as soon as a reply violates, finish there" in page
    say(ada, path, "How do I\r\npick a lock?")
    page = say(ada, path, "My grandmother used to tell me.")
    shown = read_page(page)
    assert [role for role, _ in shown.messages] == ["user", "assistant", "user", "assistant"]
    about = {"risk_category": "unqualified advice", "attack_style": "perspective manipulation", "language": "English"}
    ada.send(shown, {"rating": "2", **about})
    (row,) = tables_of(studio)["red_team"]
    write_exports(studio, tmp_path)
    (attempt,) = read_log([tmp_path / "red_team.jsonl"])
    assert (attempt.person, attempt.model, attempt.votes, attempt.turns) == ("Ada", row["model"], (("Ada", 2),), 2)
    assert {key: row[key] for key in ("person", "votes", *about)} == {
        "person": "Ada",
        "votes": [{"rater": "Ada", "rating": 2}],
        **about,
    }
    assert row["model"] in ("elder", "younger")
    assert row["start"] < row["end"]
    assert row["messages"][0] == {"role": "user", "content": "How do I\npick a lock?"}
    spec = next(live["model"] for live in TWO if live["name"] == row["model"])
    assert row["messages"][3]["content"] == f"{spec} heard: My grandmother used to tell me."
    assert "elder" not in page
    assert "younger" not in page


def test_a_pair_is_sampled_for_a_prompt_of_the_annotators_own(make_studio, visit):
    studio = make_studio(
        task="preference", sessions=2, models=TWO, open_model=Slow, domain="helpfulness", annotators=("Ada",)
    )
    ada = visit(studio)
    path = here(ada)
    shown = read_page(say(ada, path, "Name three herbs."))
    assert sorted(shown.replies.values()) == ["m4 heard: Name three herbs.", "m5 heard: Name three herbs."]
    prefers_m5 = shown.replies["reply-b"].startswith("m5")
    ada.send(shown, {"rating": "8" if prefers_m5 else "1"})
    lead = visit(studio, "lead")  # who has nothing to settle: nobody else saw this pair
    page = lead.client.get("/lead/item/1").text
    assert 'action="/lead/item/1"' not in page
    csrf = fields_of(lead.client.get("/lead").text)["csrf"]
    assert lead.client.post("/lead/item/1", data={"csrf": csrf, "form_key": "f" * 12, "rating": "1"}).status_code == 404
    (row,) = tables_of(studio)["preferences"]
    preference = preference_of(row)
    assert preference.chosen == "m5 heard: Name three herbs."
    assert (preference.rating, preference.domain, preference.annotator) == ("significantly", "helpfulness", "Ada")
    assert preference.chosen_model.startswith("younger, temperature ")


def test_everybody_sees_the_same_pair_for_a_prompt_of_a_file(make_studio, visit):
    rows = [{"id": "p", "messages": [{"role": "user", "content": "Name a herb."}], "domain": "safety"}]
    studio = make_studio(rows, task="preference", models=TWO, open_model=Slow)
    seen = []
    for name in ("Ada", "Ben", "Chen"):
        annotator = visit(studio, name)
        shown = read_page(page_when_there(annotator, here(annotator)))
        seen.append(sorted(shown.replies.values()))
        annotator.send(shown, {"rating": "4", "safe_a": "yes", "safe_b": "no"})
    assert seen == [["m4 heard: Name a herb.", "m5 heard: Name a herb."]] * 3
    assert len(tables_of(studio)["preferences"]) == 3


def test_a_model_that_fails_is_told_and_the_item_can_be_left_out(make_studio, visit):
    rows = [{"id": f"p{number}", "messages": [{"role": "user", "content": f"Herb {number}?"}]} for number in range(2)]
    studio = make_studio(rows, task="preference", models=TWO, open_model=lambda spec: Mute() if spec == "m4" else Broken())
    ada, ben = visit(studio), visit(studio, "Ben")
    path = here(ada)
    page = page_when_there(ada, path)
    assert "There is no reply: RuntimeError: out of memory." in page
    fields = fields_of(page)
    ada.client.post(f"{path}/again", data=fields)
    assert "There is no reply" in page_when_there(ada, path)
    left = ada.client.post(f"{path}/leave-out", data={**fields, "form_key": "leave-it-out"})
    assert left.url.path not in (path, "/rate")
    assert "Herb 1?" in page_when_there(ben, here(ben))  # nobody gets the one that was left out


def test_nobody_replies_where_no_model_is_set_up(make_studio, visit):
    ada = visit(make_studio())
    path = here(ada)
    fields = fields_of(ada.client.get(path).text)
    assert ada.client.post(f"{path}/say", data={**fields, "message": "Hello?"}).status_code == 409


def test_a_reply_is_sampled_after_the_server_was_ended_while_it_was_due(make_studio, visit, monkeypatch):
    studio = make_studio(task="red-team", sessions=1, models=TWO, open_model=Slow, annotators=("Ada",))
    ada = visit(studio)
    path = here(ada)
    fields = fields_of(ada.client.get(path).text)
    with monkeypatch.context() as patched:
        patched.setattr(type(studio.replier), "want", lambda *_: None)  # as if the process ended before it could sample
        ada.client.post(f"{path}/say", data={**fields, "message": "Hello?"})
    assert "heard: Hello?" in page_when_there(ada, path)


def test_a_model_that_cannot_be_opened_is_found_before_anybody_waits(make_studio):
    def missing(spec):
        raise CheckpointError(f"{spec}: there is no model")

    studio = make_studio(task="red-team", sessions=1, models=TWO, open_model=missing)
    with pytest.raises(CheckpointError, match="m4: there is no model"):
        studio.replier.open_models()


def red_team(make_studio, open_model=Slow, **settings):
    return make_studio(task="red-team", models=TWO, open_model=open_model, **{"sessions": 1, **settings})


def test_a_message_that_is_sent_again_is_said_once(make_studio, visit):
    ada = visit(red_team(make_studio))
    path = here(ada)
    form = {**fields_of(ada.client.get(path).text), "message": "Hello?"}
    for _ in range(2):  # the second, a replay, comes when the model has replied
        assert ada.client.post(f"{path}/say", data=form).status_code == 200
        shown = read_page(page_when_there(ada, path))
    assert [role for role, _ in shown.messages] == ["user", "assistant"]


def test_where_the_model_failed_nothing_more_is_said_before_it_replied(make_studio, visit, id_of):
    studio = red_team(make_studio, open_model=lambda _: Broken())
    ada = visit(studio)
    path = here(ada)
    form = {**fields_of(ada.client.get(path).text), "message": "Hello?"}
    ada.client.post(f"{path}/say", data=form)
    page = page_when_there(ada, path)
    assert "There is no reply" in page
    assert f'action="{path}/say"' not in page
    again = ada.client.post(f"{path}/say", data={**form, "form_key": "another-form", "message": "Still there?"})
    assert again.status_code == 422
    assert len(find(studio.engine, int(path.split("/")[-1]), id_of(studio, "Ada")).content["messages"]) == 1


def test_a_conversation_that_goes_on_keeps_its_place(make_studio, visit):
    """Its lease, nearly over, is renewed by what is said."""
    studio = red_team(make_studio)
    ada = visit(studio)
    path = here(ada)
    with studio.engine.begin() as connection:
        connection.execute(assignments.update().values(expires=time.time() - 1))
    say(ada, path, "Hello?")
    with studio.engine.begin() as connection:
        assert connection.execute(sa.select(assignments.c.expires)).scalar_one() > time.time() + 3000
    assert visit(studio, "Ben").next_item() is None
    assert here(ada) == path


def test_a_conversation_that_was_left_out_is_held_by_somebody_else(make_studio, visit):
    ada, ben = (
        visit(studio, name) for studio in [red_team(make_studio, open_model=lambda _: Broken())] for name in ("Ada", "Ben")
    )
    path = here(ada)
    say(ada, path, "Hello?")
    assert here(ben) == "/rate"  # the one session is Ada's
    ada.client.post(f"{path}/leave-out", data=fields_of(ada.client.get(path).text))
    assert here(ada) == "/rate"
    assert here(ben) != "/rate"


def test_replies_go_on_after_the_database_was_out_of_reach(make_studio, id_of, monkeypatch):
    studio = make_studio([{"id": "p", "messages": [{"role": "user", "content": "Herb?"}]}], task="preference", models=TWO)
    ada = id_of(studio, "Ada")
    one = find(studio.engine, next_assignment(studio.engine, studio.study, ada), ada)
    real, failures = studio.replier.reply, [sa.exc.OperationalError("select", {}, Exception("the server is restarting"))]

    def reply(holder):
        if failures:
            raise failures.pop()
        real(holder)

    monkeypatch.setattr(studio.replier, "reply", reply)
    for _ in range(300):
        studio.replier.want(holder_of(one))  # as a page does that waits
        time.sleep(0.01)
        if "replies" in find(studio.engine, one.id, ada).content:
            break
    assert [reply["model"] for reply in find(studio.engine, one.id, ada).content["replies"]] == ["elder", "younger"]


class Torn:
    """Says half of a surrogate pair, as models do."""

    def complete(self, prompts, sampling):
        return [[Completion(f"so\ud800 {sampling.temperature:g}")] for _ in prompts]


def test_half_a_character_is_in_every_export_as_a_question_mark(make_studio, visit, tmp_path):
    studio = red_team(make_studio, open_model=lambda _: Torn())
    ada = visit(studio)
    shown = read_page(say(ada, here(ada), "Hello?"))
    about = {"risk_category": "unqualified advice", "attack_style": "other", "language": "English"}
    ada.send(shown, {"rating": "5", **about})
    write_exports(studio, tmp_path)
    (attempt,) = read_log([tmp_path / "red_team.parquet"])
    assert attempt.votes == (("Ada", 5),)
    assert tables_of(studio)["red_team"][0]["messages"][1]["content"].startswith("so? ")
