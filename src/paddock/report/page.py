"""Write a run's `report.html`: one self-contained page, with no script, that needs no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from paddock.report import (
    benchmarks,
    carbon,
    comparisons,
    corpus,
    ghost_attention,
    human_study,
    losses,
    provenance,
    red_team,
    reinforcement,
    reward_progress,
    rewards,
    safety,
    samples,
    scores,
    spine,
    truth,
    versions,
)
from paddock.report.blocks import Section
from paddock.report.headline import Headline, headline
from paddock.report.run_folder import Run, read_run
from paddock.run_dir import atomic_write

# The sections of the page in order. Each is a function of the run in a file of its own; one without content is left out.
SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    spine.section,
    corpus.section,
    truth.section,
    scores.section,
    rewards.section,
    versions.section,
    reinforcement.section,
    reward_progress.section,
    comparisons.section,
    ghost_attention.section,
    safety.section,
    red_team.section,
    benchmarks.section,
    human_study.section,
    losses.section,
    samples.section,
    carbon.section,
    provenance.section,
)
HERE = Path(__file__).parent
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def write_report(run_folder: Path) -> Path:
    """Read the run in `run_folder` and write its `report.html`, as far as the run has come; returns the page's path.

    The same files give the same bytes. Raises PaddockError where there is no run, DataError for a file that cannot be read.
    """
    run = read_run(run_folder)
    return write_page(run, sections_of(run))


def sections_of(run: Run) -> list[Section]:
    """What there is to show of a run, in the order of the page."""
    return [section for draw in SECTIONS if (section := draw(run))]


def write_page(run: Run, sections: Sequence[Section]) -> Path:
    """Write the page of a run into its folder; returns its path. Whatever people or models wrote is escaped."""
    page = run.folder / "report.html"
    atomic_write(page, page_of(headline(run), sections, "Paddock run"))
    return page


def page_of(top: Headline, sections: Sequence[Section], kicker: str) -> str:
    """A page of sections under a headline; `kicker` says what kind of page it is."""
    return _environment().get_template("page.jinja").render(headline=top, sections=sections, kicker=kicker)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def printable(value: Any) -> Any:
    """Text that a page can hold: control characters become their pictures, lone surrogates the replacement character."""
    return UNPRINTABLE.sub(_picture, value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"
