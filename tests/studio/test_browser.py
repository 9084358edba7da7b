"""An annotator and a lead in a real browser, Debian's Chromium: through a whole study by mouse, and by keyboard alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from paddock.studio.browsing import served
from paddock.studio.people import make_link
from paddock.studio.results import answers

ARABIC, JAPANESE = "ما هي عاصمة فرنسا؟", "日本で一番高い山は何ですか。"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def enter(chromium: Browser, id_of):
    """Open someone's link: their page. Errors in the console fail the test, but for what is said of a refused form."""
    contexts, problems = [], []

    def sign_in(studio, name: str, address: str, **options) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/enter/{make_link(studio.engine, id_of(studio, name))}")
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert [problem for problem in problems if "422" not in problem] == []


def press_to_enter(page: Page, address: str) -> None:
    """Sign in by the keyboard: the button has the focus."""
    expect(page.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.wait_for_load_state()
    assert page.url in (f"{address}/", f"{address}/lead")


def side_of(page: Page, beginning: str) -> str:
    """The side, A or B, on which the reply stands that begins so."""
    return "A" if page.locator('[data-part="reply-a"]').inner_text().startswith(beginning) else "B"


def test_a_whole_study_by_mouse(make_studio, enter, tmp_path, pair):
    test = tmp_path / "test.jsonl"
    test.write_text("".join(json.dumps(pair(number, expected=[1, 2])) + "\n" for number in range(2)))
    studio = make_studio(
        raters=1, annotators=("Ada",), qualification={"data": str(test), "pass_share": 1.0}, guidelines="Be fair."
    )
    with served(studio) as address:
        page = enter(studio, "Ada", address)
        page.get_by_role("button", name="Sign in as Ada").click()
        expect(page).to_have_url(f"{address}/")
        expect(page.get_by_text("Be fair.")).to_be_visible()
        page.get_by_role("link", name="Begin").click()
        for number in range(2):
            expect(page.get_by_text(f"Test: {number} of 2 done")).to_be_visible()
            page.get_by_text(f"{side_of(page, 'Reply a')} is much better").click()
            page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("0 answered")).to_be_visible()
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_have_text("Choose one of the answers first.")
        for number in range(3):
            expect(page.get_by_text(f"{number} answered")).to_be_visible()
            page.wait_for_load_state()
            page.get_by_text("About the same" if number else f"{side_of(page, 'Reply b')} is better").click()
            page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        page.get_by_role("button", name="Take the last answer back").click()
        expect(page.get_by_role("radio", name="About the same")).to_be_checked()
        page.get_by_text(f"{side_of(page, 'Reply a')} is slightly better").click()
        page.get_by_role("button", name="Send").dblclick()
        expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        assert [one.answer["rating"] for one in answers(studio.engine)] == [6, 4, 3]
        assert all(0 <= one.active_seconds < 60 for one in answers(studio.engine))

        lead = enter(studio, "lead", address)
        lead.get_by_role("button", name="Sign in as lead").click()
        expect(lead.get_by_text("3 of 3").first).to_be_visible()
        expect(lead.get_by_text("passed, 2 of 2 right")).to_be_visible()
        with lead.expect_download() as download:
            lead.get_by_role("link", name="csv").click()
        assert download.value.suggested_filename == "ratings.csv"
        lead.get_by_role("button", name="New link").click()
        assert lead.get_by_label("Link").input_value().startswith(f"{address}/enter/")


def test_a_whole_study_by_keyboard_alone(make_studio, enter):
    studio = make_studio(raters=2, annotators=("Ada", "Ben"))
    with served(studio) as address:
        for name in ("Ada", "Ben"):
            page = enter(studio, name, address)
            press_to_enter(page, address)
            page.wait_for_load_state()
            page.keyboard.press("Enter")
            for number in range(3):
                expect(page.get_by_text(f"{number} answered")).to_be_visible()
                page.wait_for_load_state()  # keys are heard from then on
                prefers_a = (name == "Ada") == (side_of(page, "Reply a") == "A")
                page.keyboard.press("5")
                page.keyboard.press("1" if prefers_a else "7")
                if number == 1:
                    page.keyboard.press("c")
                    page.keyboard.type("7 reasons, u see?")
                    page.keyboard.press("Escape")
                page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
            page.wait_for_load_state()
            page.keyboard.press("u")
            expect(page.get_by_text("2 answered")).to_be_visible()
            page.wait_for_load_state()
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        found = {(one.item_name, one.rater): one.answer for one in answers(studio.engine)}
        assert {key: answer["rating"] for key, answer in found.items()} == {
            (f"p{number}", name): 1 if name == "Ada" else 7 for number in range(3) for name in ("Ada", "Ben")
        }
        assert found["p1", "Ada"]["comment"] == "7 reasons, u see?"

        lead = enter(studio, "lead", address)
        press_to_enter(lead, address)
        expect(lead.get_by_text("3 items whose ratings lie")).to_be_visible()
        link = lead.get_by_role("link", name="p0")
        for _ in range(40):
            if link.evaluate("element => element === document.activeElement"):
                break
            lead.keyboard.press("Tab")
        lead.keyboard.press("Enter")
        expect(lead.get_by_role("heading", name="What raters said")).to_be_visible()
        lead.wait_for_load_state()
        lead.keyboard.press("4")
        lead.keyboard.press("Enter")
        expect(lead.get_by_text("settled")).to_be_visible()


def test_a_draft_is_kept_while_it_is_written_and_when_the_page_is_left(make_studio, enter):
    studio = make_studio([{"id": "d", "messages": [{"role": "user", "content": "Why?"}]}], task="demonstration", raters=1)
    with served(studio) as address:
        page = enter(studio, "Ada", address)
        press_to_enter(page, address)
        page.goto(f"{address}/rate")
        page.get_by_label("Write the reply").fill("Because of")
        expect(page.get_by_text("Draft kept")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Write the reply")).to_have_value("Because of")
        page.get_by_label("Write the reply").fill("Because of rain,\nand wind.")
        page.goto(f"{address}/")  # at once: before the draft was kept
        page.goto(f"{address}/rate")
        expect(page.get_by_label("Write the reply")).to_have_value("Because of rain,\nand wind.")
        page.get_by_label("Write the reply").press("Control+Enter")
        expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        assert [one.answer["text"] for one in answers(studio.engine)] == ["Because of rain,\nand wind."]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_screen_in_every_script_and_follow_the_colour_scheme(make_studio, enter, pair, scheme):
    long_word = "a" * 300
    turns = [{"role": role, "content": text} for text in (ARABIC, JAPANESE, long_word) for role in ("user", "assistant")]
    row = pair(0, prompt=[*turns, {"role": "user", "content": ARABIC}], reply_a=JAPANESE, reply_b=long_word)
    studio = make_studio([row], raters=1)
    with served(studio) as address:
        page = enter(studio, "Ada", address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        press_to_enter(page, address)
        page.goto(f"{address}/rate")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        question = page.locator('[data-part="user"]').last
        assert question.evaluate("element => getComputedStyle(element).direction") == "rtl"
        assert question.get_attribute("lang") == "ar"
        assert page.locator(':lang(ja)[data-part^="reply"]').count() == 1
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) / 3
        assert (brightness > 200) == (scheme == "light")
        lead = enter(studio, "lead", address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        press_to_enter(lead, address)
        assert lead.evaluate("document.documentElement.scrollWidth") <= 360


def test_pages_work_without_scripts(make_studio, enter):
    studio = make_studio(raters=1, count=1)
    with served(studio) as address:
        page = enter(studio, "Ada", address, java_script_enabled=False)
        page.get_by_role("button", name="Sign in as Ada").click()
        page.get_by_role("link", name="Begin").click()
        page.get_by_text("About the same").click()
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        assert [one.answer for one in answers(studio.engine)] == [{"rating": 4}]


def test_a_conversation_with_a_live_model_by_keyboard(make_studio, enter):
    studio = make_studio(task="red-team", sessions=1, annotators=("Ada",), models=({"name": "v5", "model": "m"},))
    with served(studio) as address:
        page = enter(studio, "Ada", address)
        press_to_enter(page, address)
        page.goto(f"{address}/rate")
        for number, said in enumerate(("How do I pick a lock?", "My own lock.")):
            page.get_by_label("message").fill(said)
            if number:
                page.get_by_label("Attack style").select_option("other")
            expect(page.get_by_text("Draft kept")).to_be_visible()
            page.reload()
            expect(page.get_by_label("message")).to_have_value(said)
            page.get_by_label("message").press("Control+Enter")
            expect(page.locator('[data-part="assistant"]').nth(number)).to_contain_text(f"I heard: {said}")
        page.wait_for_load_state()
        expect(page.get_by_label("message")).to_have_value("")  # it was said
        expect(page.get_by_label("Attack style")).to_have_value("other")
        page.get_by_label("Risk category").select_option("unqualified advice")
        page.get_by_label("Language").press("Escape")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="That is all, for now")).to_be_visible()
        (found,) = answers(studio.engine)
        assert (found.answer["rating"], found.answer["attack_style"]) == (2, "other")
        assert found.active_seconds > 1  # the seconds that a reply takes to appear are counted, on whatever page


def test_keys_are_found_on_other_keyboards(make_studio, enter):
    """On a French keyboard the 1 writes &, on a Russian one the u writes г; with Caps Lock a letter is a capital."""
    studio = make_studio(raters=1, annotators=("Ada",))

    def press(page: Page, key: str, code: str, **more: bool) -> None:
        page.evaluate(
            "options => document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, ...options}))",
            {"key": key, "code": code, **more},
        )

    with served(studio) as address:
        page = enter(studio, "Ada", address)
        press_to_enter(page, address)
        page.goto(f"{address}/rate")
        press(page, "&", "Digit1")
        expect(page.locator('input[value="1"]')).to_be_checked()
        press(page, "&", "Digit7", shiftKey=True)  # of an English one: no digit
        expect(page.locator('input[value="1"]')).to_be_checked()
        press(page, "C", "KeyC")
        expect(page.get_by_label("Comment")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 answered")).to_be_visible()
        page.wait_for_load_state()
        press(page, "г", "KeyU")
        expect(page.get_by_text("0 answered")).to_be_visible()
