"""The tables and drawings of a corpus report, as blocks: the same for its own page, a run's page, and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from paddock.report.blocks import Block, Fact, Facts, Figure, Figures, Prose, Row, Section, Table
from paddock.report.corpus_drawings import bars
from paddock.report.corpus_figures import PAPER_AXES, WITHIN
from paddock.report.corpus_figures import Figures as Shares
from paddock.report.wording import UNKNOWN, compact, finite, interval_cell, number, sentence, value_text

LABELS: Final = {
    "gendered": "Gendered pronouns",
    "she": "She",
    "he": "He",
    "unspecified": "Unspecified (they)",
    "any": "Any pronoun",
    "first": "First person",
    "second": "Second person",
    "third": "Third person",
}
CHECKED: Final = "hatecheck"


def share_text(share: float) -> str:
    """`75.23%`, `0.17%`, `0.0052%`: two decimals, and two digits where these would say nothing."""
    return f"{100 * share:.2f}%" if share >= 0.001 or share == 0 else f"{100 * share:.2g}%"


def cell(figure: Mapping[str, Any] | None) -> str:
    """An estimate with its interval below; a dash where there is none."""
    return interval_cell(figure, share_text)


def sections_of(report: Mapping[str, Any], others: Mapping[str, Shares]) -> list[Section]:
    """The sections of a corpus' own page; `others` are columns beside its own."""
    found = [_corpus(report)]
    if "pronouns" in report:
        found.append(Section("pronouns", "Pronouns", (pronouns_table(report, others),)))
    if "identities" in report:
        found.append(Section("identities", "Identities", identity_tables(report, others)))
    if "languages" in report:
        found.append(Section("languages", "Languages", (languages_table(report, others),)))
    if "toxicity" in report:
        found.append(Section("toxicity", "Toxicity", toxicity_blocks(report, others)))
    if "contamination" in report:
        found.append(Section("contamination", "Contamination", _contamination(report["contamination"])))
    if "personal_data" in report:
        found.append(Section("personal-data", "Hints at personal data", (_personal_data(report["personal_data"]),)))
    return [*found, _choices(report)]


def pronouns_table(report: Mapping[str, Any], others: Mapping[str, Shares]) -> Table:
    """Table 9a, with both denominators."""
    rows = []
    for name, label in LABELS.items():
        found = report["pronouns"][name]
        within = cell(found[f"within_{WITHIN[name]}"]) if name in WITHIN else ""
        cells = (f"{found['documents']:,}", cell(found["of_all"]), within)
        rows.append(
            Row((label if name not in WITHIN else f"· {label}", *cells, *_columns(others, name)), total=name not in WITHIN)
        )
    caption = (
        f"As in the paper's table 9a: {report['pronouns']['documents']:,} documents; a row with a dot also as a share "
        "of the documents of the row in bold above it, which is what the paper prints."
    )
    return Table(("", "documents", "of all documents", "within the row above", *_headings(others)), tuple(rows), caption)


def identity_tables(report: Mapping[str, Any], others: Mapping[str, Shares]) -> tuple[Block, ...]:
    """Table 9b: axes, each with its commonest descriptors."""
    identities = report["identities"]
    rows = []
    for axis, found in _in_the_papers_order(identities["axes"]):
        cells = (f"{found['documents']:,}", cell(found["of_all"]), "")
        rows.append(Row((sentence(axis), *cells, *_columns(others, f"axis:{axis}")), total=True))
        for term in found["top"]:
            of_term = found["descriptors"][term]
            cells = (f"{of_term['documents']:,}", cell(of_term["of_all"]), cell(of_term["within_axis"]))
            rows.append(Row((f"· {term}", *cells, *_columns(others, f"descriptor:{axis}/{term.lower()}"))))
    caption = (
        f"As in the paper's table 9b: documents that mention any of an axis' descriptors, and its five commonest among "
        f"those. {', '.join(identities['left_out_of_top'])} count for their axis and are not listed. "
        f"List: {identities['list']}."
    )
    return (Table(("", "documents", "of all documents", "within the axis", *_headings(others)), tuple(rows), caption),)


def _in_the_papers_order(axes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The axes of table 9b first, as they stand there."""
    order = [*PAPER_AXES, *(axis for axis in axes if axis not in PAPER_AXES)]
    return [(axis, axes[axis]) for axis in order if axis in axes]


def languages_table(report: Mapping[str, Any], others: Mapping[str, Shares]) -> Table:
    """Table 10."""
    languages = report["languages"]
    ranked = sorted(languages["languages"].items(), key=lambda item: (-item[1]["documents"], item[0]))
    rows = [
        Row((code, f"{found['documents']:,}", cell(found["of_all"]), *_columns(others, f"language:{code}")))
        for code, found in ranked
    ]
    rarer = languages["rarer"]
    if rarer["documents"]:
        blanks = ("",) * (1 + len(others))
        rows.append(Row((f"{rarer['languages']} rarer ones", f"{rarer['documents']:,}", *blanks)))
    caption = (
        f"As in the paper's table 10: {languages['model']} on whole documents, unknown below {languages['threshold']}, "
        "languages from 0.005% of the documents on."
    )
    return Table(("", "documents", "of all documents", *_headings(others)), tuple(rows), caption)


def toxicity_blocks(report: Mapping[str, Any], others: Mapping[str, Shares]) -> tuple[Block, ...]:
    """Figure 13, with what is known of the classifier."""
    toxicity = report["toxicity"]
    about = toxicity["classifier"]
    row = Row(
        ("Mean score of 0.5 and over", f"{toxicity['documents']:,}", cell(toxicity["toxic"]), *_columns(others, "toxic"))
    )
    columns = ("", "documents scored", "of those", *_headings(others))
    caption = (
        f"As in the paper's figure 13: the mean over a document's lines, of {100 * toxicity['sampled_share']:g}% of the "
        f"English documents. Classifier: {about.get('name', about['kind'])}."
    )
    bins = [(f"{b['from']:g}", b["documents"]) for b in toxicity["histogram"]]
    drawing = Figure(
        bars("toxicity", bins, "mean score of a document's lines", logarithmic=True),
        "Documents by toxicity",
        "",
        f"Of {toxicity['documents']:,} documents, {cell(toxicity['toxic'])} score 0.5 and over",
    )
    return Prose(_trust(about.get(CHECKED))), Table(columns, (row,), caption), Figures((drawing,))


def _trust(checked: Any) -> str:
    """How far the classifier can be trusted, as its HateCheck result has it."""
    if not isinstance(checked, Mapping):
        return f"The classifier's HateCheck result: {checked or 'not checked'}. Read what it flags before you act on it."
    hateful, harmless = (cell(checked[key]).replace("\n", ", ") for key in ("hateful_flagged", "harmless_flagged"))
    return f"On {checked['suite']} the classifier flags {hateful} of the hateful cases and {harmless} of the harmless ones."


def _corpus(report: Mapping[str, Any]) -> Section:
    """How large the corpus is, what could not be read, what repeats, and how long documents are."""
    corpus, shards = report["corpus"], report["shards"]
    rows = [Row((sentence(key), f"{corpus[key]:,}")) for key in ("documents", "bytes", "words", "tokens") if key in corpus]
    rows.append(Row(("Shards read", f"{shards['read']:,}")))
    rows += [Row((f"Rows skipped: {reason}", f"{count:,}")) for reason, count in corpus["skipped"].items()]
    if "duplicates" in report:
        rows.append(Row(("Documents that repeat an earlier one", cell(report["duplicates"]["repeated"]))))
    blocks: list[Block] = [Table(("", ""), tuple(rows), "Words are runs of letters or of digits.")]
    if shards["broken"]:
        blocks.append(Facts("Shards left out as a whole", tuple(Fact(path, why) for path, why in shards["broken"].items())))
    bins = [(compact(b["from"]), b["documents"]) for b in corpus["lengths"]]
    longest = f"{corpus['lengths'][-1]['to']:,}" if bins else "0"
    description = f"Documents by words, in powers of two up to {longest}"
    blocks.append(Figures((Figure(bars("lengths", bins, "words, from"), "Documents by length", "", description),)))
    return Section("corpus", "Corpus", tuple(blocks))


def _personal_data(found: Mapping[str, Any]) -> Table:
    rows = tuple(
        Row((sentence(kind), f"{row['documents']:,}", cell(row["of_all"]), f"{row['matches']:,}"))
        for kind, row in found["kinds"].items()
    )
    return Table(
        ("", "documents", "of all documents", "matches"), rows, "What looks like one; counts only, nothing is kept."
    )


def _contamination(found: Mapping[str, Any]) -> tuple[Block, ...]:
    """Table 51: for each benchmark a row a subset at the largest length with evidence, or at the shortest."""
    blocks: list[Block] = []
    for name, benchmark in found["benchmarks"].items():
        rows = [
            Row(
                (
                    f"L {length}, {subset.replace('_', ' ')}",
                    *(_short(row[subset][key]) for key in ("contaminated", "samples", "score", "expected_score", "z")),
                )
            )
            for length, row in benchmark["lengths"].items()
            for subset in ("clean", "not_clean", "not_dirty", "dirty")
        ]
        evidence = benchmark["largest_length_with_evidence"]
        verdict = (
            f"The score profits from contamination: |Z| is over 2 in all four subsets up to L {evidence}."
            if evidence
            else "No length has |Z| over 2 in all four subsets."
            if benchmark["scored"]
            else "Without scores nothing can be said of what contamination gains."
        )
        caption = f"{name}: {benchmark['samples']:,} samples, matched in {found['unit']} (paper, A.6). {verdict}"
        columns = ("", "contaminated", "samples", "score", "of all samples", "Z")
        blocks.append(Table(columns, tuple(rows), caption))
    return tuple(blocks)


def _short(value: Any) -> str:
    known = finite(value)
    return UNKNOWN if known is None else f"{value:,}" if isinstance(value, int) else f"{known:.3f}"


def _choices(report: Mapping[str, Any]) -> Section:
    """Every choice behind the figures, and the versions."""
    lists = {key: report[part][key] for part, key in (("pronouns", "lists"), ("identities", "list")) if part in report}
    chosen = tuple(Fact(sentence(key), value_text(value)) for key, value in report["choices"].items())
    made = tuple(Fact(key, number(value)) for key, value in {**lists, **report["versions"]}.items())
    return Section("choices", "Choices and versions", (Facts("How it was counted", chosen), Facts("With what", made)))


def _columns(others: Mapping[str, Shares], name: str) -> tuple[str, ...]:
    return tuple(cell(figures.get(name)) for figures in others.values())


def _headings(others: Mapping[str, Shares]) -> tuple[str, ...]:
    return tuple(others)
