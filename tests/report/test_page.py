"""The page as a whole: well-formed, self-contained, safe, reproducible, legible."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from paddock.errors import PaddockError
from paddock.report.page import HERE, printable, write_report

VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}


class Walk(HTMLParser):
    """Every tag with its attributes, the text, and the first place where tags do not balance."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.unbalanced: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if (not self.open or self.open.pop() != tag) and self.unbalanced is None:
            self.unbalanced = f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(shown_run) -> str:
    return (shown_run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def walk(page) -> Walk:
    return Walk(page)


def test_every_tag_is_closed_in_order(walk):
    assert walk.unbalanced is None
    assert walk.open == []


def test_the_walk_sees_an_unclosed_tag():
    assert Walk("<p><b>text</p>").unbalanced == "</p> at (1, 10)"


def test_the_page_begins_as_html(page):
    assert page.startswith("<!doctype html>\n<html lang=")


def test_ids_are_unique(walk):
    ids = [attributes["id"] for _, attributes in walk.tags if "id" in attributes]
    assert len(ids) > 50
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_outside(walk, page):
    for _, attributes in walk.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import|@font-face", page)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in walk.tags}


def test_the_page_forbids_scripts_whatever_it_holds(page):
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_text_of_models_is_shown_and_not_obeyed(walk):
    assert "<script>alert('x')</script><img src=https://example.com/x.png onerror=alert(1)>" in "".join(walk.text)
    assert not [name for _, attributes in walk.tags for name in attributes if name.startswith("on")]


def test_names_and_settings_of_people_are_shown_and_not_obeyed(run):
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({**recipe, "name": "<script>name</script>"}))
    folder = run / "a&b<i>\"'"
    folder.mkdir()
    content = {"stage": "<u>", "settings": {"<s>": "</details>"}, "inputs": {"<em>": "<q>"}, "versions": {"<b>": "<a>"}}
    (folder / "settings.json").write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps({"<del>": 3, "scores": [{"metric": "<ins>", "group": "</table>: <q>"}]}))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "split": "train", "loss": 2.0, "tokens": 9}) + "\n")
    hostile = Walk(write_report(run).read_text(encoding="utf-8"))
    assert hostile.unbalanced is None
    assert not {"script", "u", "s", "em", "q", "del", "ins"} & {tag for tag, _ in hostile.tags}
    text = "".join(hostile.text)
    for written in ("<script>name</script>", "a&b<i>\"'", "</details>", "<em>", "<q>", "<a>", "<del>", "<ins>", "</table>"):
        assert written in text


def test_characters_that_no_page_can_hold_become_visible(walk):
    assert "nul ␀, bell ␇, lone \ufffd, שלום" in "".join(walk.text)


def test_printable_keeps_line_ends_and_tabs():
    assert printable("a\tb\nc 🙂") == "a\tb\nc 🙂"


def test_the_same_files_give_the_same_bytes_in_another_process(shown_run, page):
    command = (
        "import sys; from pathlib import Path; from paddock.report.page import write_report; write_report(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", command, str(shown_run)], check=True, env=environment)
    assert (shown_run / "report.html").read_text(encoding="utf-8") == page


def test_the_first_screen_has_figures_state_and_the_way_to_chat(page, shown_run):
    header = page[page.index("<header>") : page.index("</header>")]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", header))
    for figure in (
        "tiny",
        "5 of 7 stages complete; second-sft is unfinished",
        "67.2% 62.2 to 71.9%, n 360",
        "21.7%",
        "741 mg",
    ):
        assert figure in text
    assert f"paddock chat {shown_run}/sft/model" in text


def test_an_unfinished_stage_is_shown_with_what_there_is(page):
    item = page[page.index('<li class="unfinished">') :]
    item = item[: item.index("</li>")]
    assert "second-sft" in item
    assert "<dt>step</dt><dd>140</dd>" in item
    assert "140 steps, 573k tokens; training ends at" in page


def test_a_stage_that_has_not_begun_is_named(page):
    item = page[page.index('<li class="not-started">') :]
    assert "preferences" in item[: item.index("</li>")]


def test_a_long_answer_is_folded_and_whole(page):
    answer = "A word and a word and another. " * 60
    assert answer in page
    assert "<details><summary>" in page[: page.index(answer)]


def test_a_run_whose_stages_have_not_begun_gives_a_page(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "new", "stages": {"tokenizer": {}, "pretrain": None}}))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "0 of 2 stages complete" in page


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(PaddockError, match="holds no run"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(PaddockError, match="there is no such run"):
        write_report(tmp_path / "nowhere")


def colours(scheme: str) -> dict[str, str]:
    css = (HERE / "page.css").read_text()
    dark = css.index("prefers-color-scheme: dark")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css[:dark] if scheme == "light" else css[dark:]))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "paper"),
        ("muted", "paper"),
        ("accent", "paper"),
        ("warning", "paper"),
        ("ink", "panel"),
        ("accent", "panel"),
        ("ink", "accent-panel"),
        ("muted", "accent-panel"),
        ("accent", "accent-panel"),
    ],
)
def test_text_is_legible_in_light_and_dark(scheme, ink, ground):
    palette = colours(scheme)
    lighter, darker = sorted((luminance(palette[ink]), luminance(palette[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, criterion 1.4.3


def test_the_template_leaves_escaping_to_jinja_but_for_drawings():
    templates = "".join(path.read_text() for path in HERE.glob("*.jinja"))
    assert re.findall(r"[\w.]+ \| safe", templates) == ["figure.svg | safe"]
