"""Write a corpus report for people: one self-contained page, Markdown tables, and the drawings as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from paddock.report.blocks import Block, Facts, Figures, HeadlineFigure, Prose, Section, Table
from paddock.report.corpus_figures import compared, read_report
from paddock.report.corpus_tables import cell, sections_of, share_text
from paddock.report.figures import CSS_COLOURS, FAINT, INK, MUTED
from paddock.report.headline import Headline
from paddock.report.page import page_of
from paddock.report.wording import compact, size
from paddock.run_dir import atomic_write

KICKER: Final = "Paddock corpus report"
PAPER_INK: Final = {CSS_COLOURS[INK]: "#23211d", CSS_COLOURS[MUTED]: "#6a665d", CSS_COLOURS[FAINT]: "#dedacf"}
ACCENT_INK: Final = "#22694a"


def write_corpus_report(folder: Path, compare: tuple[str, ...], name: str) -> Path:
    """Read `folder`/report.json, and write `report.html`, `report.md` and `figures/` beside it; returns the page's path.

    `compare` are other reports, or "paper". Raises DataError for one that cannot be read.
    """
    report = read_report(folder / "report.json")
    sections = sections_of(report, compared(compare))
    page = folder / "report.html"
    atomic_write(page, page_of(_headline(report, name), sections, KICKER))
    atomic_write(folder / "report.md", markdown(name, sections))
    for figure, svg in _drawings(sections):
        atomic_write(folder / "figures" / f"{figure}.svg", svg)
    return page


def _headline(report: Mapping[str, Any], name: str) -> Headline:
    corpus, broken = report["corpus"], report["shards"]["broken"]
    state = f"{corpus['documents']:,} documents, {size(corpus['bytes'])}"
    state += f"; {len(broken)} broken shards left out" if broken else ""
    figures = [HeadlineFigure(compact(corpus["words"]), "Words", "runs of letters or of digits")]
    if "pronouns" in report:
        figures.append(_figure(report["pronouns"]["gendered"]["of_all"], "Gendered pronouns"))
    if "languages" in report and (english := report["languages"]["languages"].get("en")):
        figures.append(_figure(english["of_all"], "English"))
    if "toxicity" in report:
        figures.append(_figure(report["toxicity"]["toxic"], "Toxic"))
    return Headline(name, state, tuple(figures), None)


def _figure(interval: Mapping[str, Any], label: str) -> HeadlineFigure:
    estimate = interval["estimate"]
    bounds = cell(interval).partition("\n")[2]
    return HeadlineFigure("–" if estimate is None else share_text(estimate), label, f"of documents; {bounds}")


def markdown(title: str, sections: Iterable[Section]) -> str:
    """The same tables as Markdown; drawings as links to their files."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += [text for block in section.blocks if (text := _markdown_of(section, block))]
    return "\n\n".join(parts) + "\n"


def _markdown_of(section: Section, block: Block) -> str:
    if isinstance(block, Prose):
        return block.text
    if isinstance(block, Table):
        lines = [_line(block.columns), _line(("---", *("---:",) * (len(block.columns) - 1)))]
        lines += [_line(row.cells) for row in block.rows]
        return "\n".join(lines) + f"\n\n{block.caption}"
    if isinstance(block, Facts):
        return f"{block.title}:\n\n" + "\n".join(f"- {fact.name}: {_plain(fact.value)}" for fact in block.facts)
    if isinstance(block, Figures):
        return "\n".join(f"![{figure.title}](figures/{section.name}.svg)" for figure in block.figures)
    return ""


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_plain(text) for text in cells) + " |"


def _plain(text: str) -> str:
    """A cell in one line: an interval follows its estimate in brackets, and nothing ends the cell."""
    estimate, _, interval = text.replace("|", "\\|").partition("\n")
    return f"{estimate} ({' '.join(interval.split())})" if interval else estimate


def _drawings(sections: Iterable[Section]) -> Iterable[tuple[str, str]]:
    """The drawings by their section, in colours of their own."""
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figures):
                svg = block.figures[0].svg
                for colour, ink in PAPER_INK.items():
                    svg = svg.replace(colour, ink)
                yield section.name, svg.replace("var(--accent)", ACCENT_INK)
