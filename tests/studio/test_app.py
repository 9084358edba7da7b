"""The web app over real HTTP: who gets in, what is accepted, and what a page may hold."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from paddock.errors import PaddockError
from paddock.studio import people
from paddock.studio.answers import submit
from paddock.studio.assignment import next_assignment
from paddock.studio.browsing import Annotator, browser, read_page, served
from paddock.studio.guard import Limiter
from paddock.studio.people import everybody, make_link
from paddock.studio.results import answers

EVIL = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


def csrf_in(html: str) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', html)[1]


def test_a_link_works_once_and_looking_at_it_does_not_use_it_up(make_studio, id_of):
    studio = make_studio()
    token = make_link(studio.engine, id_of(studio, "Ada"))
    with served(studio) as address, browser(address) as previewer, browser(address) as ada, browser(address) as thief:
        assert "Sign in as" in previewer.get(f"/enter/{token}").text
        response = ada.post("/enter", data={"token": token})
        assert (response.status_code, response.url.path) == (200, "/")
        assert token not in str(response.url)
        assert thief.post("/enter", data={"token": token}).status_code == 404
        assert thief.get(f"/enter/{token}").status_code == 404
        assert thief.get("/rate").status_code == 401


def test_a_double_click_on_sign_in_signs_in_and_lets_nobody_else_in(make_studio, id_of, database, monkeypatch):
    """The browser drops what the first click brings, cookie and all, and takes what the second does."""
    studio = make_studio(database=database)
    token = make_link(studio.engine, id_of(studio, "Ada"))
    with served(studio) as address, browser(address) as ada, browser(address) as thief:
        for client in (thief, ada):
            client.get(f"/enter/{token}")
        with ThreadPoolExecutor() as clicks:
            both = [clicks.submit(ada.post, "/enter", data={"token": token}, follow_redirects=False) for _ in range(2)]
        cookies = [response.result().headers["set-cookie"] for response in both]
        assert cookies[0] == cookies[1]
        assert ada.get("/rate").status_code == 200
        assert thief.post("/enter", data={"token": token}).status_code == 404
        monkeypatch.setattr(people, "now", lambda: time.time() + 61)
        assert ada.post("/enter", data={"token": token}).status_code == 404


def test_a_second_click_does_not_bring_back_a_session_that_was_ended(make_studio, id_of):
    studio = make_studio()
    token = make_link(studio.engine, id_of(studio, "Ada"))
    session = people.sign_in(studio.engine, token, "browser")
    assert people.sign_in(studio.engine, token, "browser") == session
    assert people.sign_in(studio.engine, token, "another") is None
    assert people.sign_in(studio.engine, token) is None
    people.sign_out(studio.engine, session)
    assert people.sign_in(studio.engine, token, "browser") is None


def test_the_cookie_is_for_our_pages_alone_and_signing_out_ends_the_session(make_studio, visit):
    studio = make_studio()
    ada = visit(studio)
    token = make_link(studio.engine, 1)
    cookie = ada.client.post("/enter", data={"token": token}, follow_redirects=False).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    session = dict(ada.client.cookies)
    page = ada.client.get("/").text
    ada.client.post("/leave", data={"csrf": csrf_in(page), "form_key": "leave-form"})
    ada.client.cookies.update(session)
    assert ada.client.get("/rate").status_code == 401


def test_an_annotator_goes_on_at_another_machine(make_studio, visit):
    studio = make_studio()
    here, there = visit(studio), visit(studio, "Ben")
    held = here.next_item()
    page = here.client.post("/another-machine", data={"csrf": csrf_in(here.client.get("/").text), "form_key": "f" * 8}).text
    token = re.search(r"/enter/([\w-]+)", page)[1]
    there.enter(token)
    assert there.next_item().action == held.action


@pytest.mark.parametrize("path", ["/rate/1/answer", "/rate/1/draft", "/undo", "/another-machine", "/leave", "/rate/1/say"])
def test_a_form_from_elsewhere_is_refused(make_studio, visit, path):
    studio = make_studio()
    ada, ben = visit(studio), visit(studio, "Ben")
    ada.next_item()
    of_ben = csrf_in(ben.client.get("/").text)
    for csrf in ({}, {"csrf": ""}, {"csrf": of_ben}):
        response = ada.client.post(path, data={"rating": "1", "form_key": "f" * 12, **csrf})
        assert response.status_code == 403
    assert answers(studio.engine) == []


def test_annotators_see_no_page_of_the_lead_and_no_item_of_another(make_studio, visit):
    studio = make_studio()
    ada, ben = visit(studio), visit(studio, "Ben")
    own = ada.next_item()
    for path in ("/lead", "/lead/item/1", "/lead/export/ratings.csv"):
        assert ada.client.get(path).status_code == 403
    csrf = csrf_in(ada.client.get("/").text)
    for path in ("/lead/item/1", "/lead/people/1/link", "/lead/people/1/pause"):
        assert ada.client.post(path, data={"csrf": csrf, "form_key": "f" * 12, "rating": "1"}).status_code == 403
    assert ben.client.get(own.action.removesuffix("/answer")).status_code == 404


def test_whatever_people_and_models_wrote_is_escaped(make_studio, visit, pair):
    row = pair(0, prompt=[{"role": "user", "content": EVIL}], reply_a=EVIL, reply_b=EVIL + "b", model_a=EVIL, id=EVIL)
    studio = make_studio([row], name=EVIL, annotators=(EVIL, "Ben"), guidelines=EVIL, raters=2)
    ada, lead = visit(studio, EVIL), visit(studio, "lead")
    item = ada.client.get("/rate").text
    shown = read_page(item)
    assert shown.messages == [("user", EVIL)]
    assert set(shown.replies.values()) == {EVIL, EVIL + "b"}
    ada.send(shown, {"rating": "1", "comment": EVIL})
    ben = visit(studio, "Ben")
    ben.send(ben.next_item(), {"rating": "1"})
    pages = [item, *(one.client.get(path).text for one, path in ((ada, "/"), (lead, "/lead"), (lead, "/lead/item/1")))]
    pages.append(lead.client.get("/lead/item/1").text)
    for page in pages:
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page


def test_a_page_tells_neither_models_nor_sides(make_studio, visit, pair):
    names = {"model_a": "the elder model", "model_b": "the younger model"}
    studio = make_studio([pair(number, **names) for number in range(6)])
    ada = visit(studio)
    while shown := ada.next_item():
        page = ada.client.get(shown.action.removesuffix("/answer")).text
        assert "elder" not in page
        assert "younger" not in page
        assert "swapped" not in page
        ada.send(shown, {"rating": "4"})


def test_every_answer_has_the_headers_of_a_careful_site(make_studio, visit):
    ada = visit(make_studio())
    for path in ("/", "/rate", "/nowhere", "/rate/99", "/rate/x", "/static/studio.css", "/static/../app.py", "/lead"):
        response = ada.client.get(path)
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert (response.headers["cache-control"] == "no-store") != path.startswith("/static/studio")
    assert ada.client.get("/rate/x").status_code == ada.client.get("/nowhere").status_code == 404
    assert ada.client.get("/openapi.json").status_code == 404


def test_pages_hold_no_script_and_no_style_of_their_own(make_studio, visit):
    studio = make_studio()
    ada, lead = visit(studio), visit(studio, "lead")
    ada.send(ada.next_item(), {"rating": "4"})
    for client, path in ((ada.client, "/"), (ada.client, "/rate"), (lead.client, "/lead"), (lead.client, "/lead/item/1")):
        page = client.get(path).text
        assert re.findall(r"<script(?! src=\"/static/studio.js\" defer></script>)", page) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []


def test_an_answer_that_is_not_complete_comes_back_with_what_was_filled_in(make_studio, visit):
    studio = make_studio()
    ada = visit(studio)
    shown = ada.next_item()
    response = ada.client.post(shown.action, data={**shown.fields, "comment": "on second thought"})
    assert response.status_code == 422
    assert "Choose one of the answers first." in response.text
    assert "on second thought" in response.text
    assert answers(studio.engine) == []


def test_a_form_that_is_sent_twice_counts_once(make_studio, visit):
    studio = make_studio()
    ada = visit(studio)
    shown = ada.next_item()

    def send(_: int) -> int:
        return ada.client.post(shown.action, data={**shown.fields, "rating": "3"}, follow_redirects=False).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(send, range(12))) == {303}
    assert len(answers(studio.engine)) == 1


def test_forms_that_are_too_long_or_broken_are_refused(make_studio, visit):
    ada = visit(make_studio())
    assert ada.client.post("/undo", content=b"x=" + b"a" * 300_000).status_code == 413
    assert ada.client.post("/undo", content=b"&".join(b"a%d=1" % n for n in range(100))).status_code == 400
    assert ada.client.post("/undo", content=b"a=%ff%fe").status_code in (400, 403)


def test_who_sends_too_many_forms_is_asked_to_wait(make_studio, visit):
    ada = visit(make_studio(posts_per_minute=5))
    csrf = csrf_in(ada.client.get("/").text)
    codes = [ada.client.post("/undo", data={"csrf": csrf, "form_key": f"form-key-{n}"}) for n in range(7)]
    assert [response.status_code for response in codes[:5]] == [409] * 5  # nothing to take back
    assert codes[-1].status_code == 429
    assert 1 <= int(codes[-1].headers["retry-after"]) <= 12


def test_who_guesses_links_is_asked_to_wait(make_studio):
    with served(make_studio()) as address, browser(address) as guesser:
        codes = [guesser.post("/enter", data={"token": f"guess {n}"}).status_code for n in range(25)]
    assert codes[:20] == [404] * 20
    assert codes[-1] == 429


def test_a_limit_fills_up_again_steadily():
    limiter = Limiter(per_minute=2)
    assert [limiter.seconds_to_wait("ada", moment) for moment in (0, 0)] == [0, 0]
    assert limiter.seconds_to_wait("ada", 0) == pytest.approx(30)
    assert limiter.seconds_to_wait("ben", 0) == 0
    assert limiter.seconds_to_wait("ada", 30) == 0
    assert limiter.seconds_to_wait("ada", 30) == pytest.approx(30)


def test_two_hundred_annotators_at_once_lose_nothing_and_no_item_has_too_many(make_studio, id_of):
    names = tuple(f"person {number}" for number in range(200))
    studio = make_studio(count=40, raters=5, annotators=names, posts_per_minute=10_000)
    links = {person.name: make_link(studio.engine, person.id) for person in everybody(studio.engine)}

    def work(name: str) -> int:
        with browser(address) as client:
            annotator = Annotator(client)
            annotator.enter(links[name])
            return annotator.answer_all(lambda shown: {"rating": str(1 + len(shown.replies["reply-a"]) % 7)})

    with served(studio) as address, ThreadPoolExecutor(200) as pool:
        accepted = sum(pool.map(work, names))
    found = answers(studio.engine)
    assert accepted == len(found) == 40 * 5
    assert len({(one.item, one.rater) for one in found}) == 200
    by_item: dict[int, int] = {}
    for one in found:
        by_item[one.item] = by_item.get(one.item, 0) + 1
    assert set(by_item.values()) == {5}


def test_a_paused_annotator_gets_nothing_until_the_lead_lets_them_on(make_studio, visit, id_of):
    studio = make_studio()
    ada, lead = visit(studio), visit(studio, "lead")
    csrf = csrf_in(lead.client.get("/lead").text)
    path = f"/lead/people/{id_of(studio, 'Ada')}/pause"
    lead.client.post(path, data={"csrf": csrf, "form_key": "f" * 12, "paused": "yes"})
    assert ada.next_item() is None
    lead.client.post(path, data={"csrf": csrf, "form_key": "g" * 12, "paused": "no"})
    assert ada.next_item() is not None


def test_the_lead_settles_a_disagreement_and_figures_are_computed_once_a_state(make_studio, visit, monkeypatch):
    from paddock.studio import figures

    computed = []
    real = figures.figures
    monkeypatch.setattr(figures, "figures", lambda studio: computed.append(1) or real(studio))
    studio = make_studio(count=1)
    lead = visit(studio, "lead")
    for name, rating in (("Ada", "1"), ("Ben", "7"), ("Chen", "4")):
        annotator = visit(studio, name)
        annotator.send(annotator.next_item(), {"rating": rating})
    for _ in range(5):
        page = lead.client.get("/lead").text
    assert len(computed) == 1
    assert "1 items whose ratings lie two points or more apart" in page
    item = read_page(lead.client.get("/lead/item/1").text)
    lead.send(item, {"rating": "2"})
    assert "settled" in lead.client.get("/lead").text
    assert len(computed) == 2
    assert '"adjudicated": 2' in lead.client.get("/lead/export/ratings.jsonl").text


def test_a_refused_answer_is_an_error_for_the_program_that_sent_it(make_studio, visit):
    studio = make_studio()
    ada = visit(studio)
    shown = ada.next_item()
    with pytest.raises(PaddockError, match="422 to POST"):
        ada.send(shown, {"rating": "12"})


def test_an_answered_item_is_not_shown_again(make_studio, visit, id_of):
    studio = make_studio()
    ada = visit(studio)
    assignment = next_assignment(studio.engine, studio.study, id_of(studio, "Ada"))
    submit(studio.engine, assignment, id_of(studio, "Ada"), "form-key-1", {"rating": 3})
    assert ada.client.get(f"/rate/{assignment}").url.path != f"/rate/{assignment}"  # an answered item is not shown again


def test_who_types_for_long_can_still_send(make_studio, visit):
    """Drafts have a limit of their own, and use up none of what answers need."""
    studio = make_studio(posts_per_minute=3)
    ada = visit(studio)
    shown = ada.next_item()
    drafts = [
        ada.client.post(shown.action.replace("answer", "draft"), data={**shown.fields, "comment": "x" * n}).status_code
        for n in range(5)
    ]
    assert drafts == [200, 200, 200, 429, 429]
    ada.send(shown, {"rating": "4"})
    assert len(answers(studio.engine)) == 1


def test_figures_that_take_long_stand_for_a_while(make_studio, id_of, monkeypatch):
    from paddock.studio import figures

    studio, moment, takes = make_studio(), [0.0], [0.1]
    ada = id_of(studio, "Ada")

    def slow(_):
        moment[0] += takes[0]
        return {"at": moment[0]}

    monkeypatch.setattr(figures, "figures", slow)
    monkeypatch.setattr(figures, "monotonic", lambda: moment[0])
    cache = figures.FiguresCache(studio)

    def after_an_answer(passed: float) -> bool:
        """Whether figures are new that are asked for so many seconds after another answer."""
        assignment = next_assignment(studio.engine, studio.study, ada)
        submit(studio.engine, assignment, ada, f"form-key-{assignment}", {"rating": 3})
        moment[0] += passed
        before = moment[0]
        return cache.get()["at"] > before

    assert after_an_answer(0)
    takes[0] = 2.0
    assert after_an_answer(0)  # quick ones are always computed
    assert not after_an_answer(17)
    moment[0] += 2
    assert cache.get()["at"] == moment[0]
