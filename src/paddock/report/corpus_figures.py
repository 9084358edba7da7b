"""A corpus report as figures by name, so that reports stand beside each other, beside the paper's, and beside the truth.

A name is that of a row: `gendered`, `she`, `axis:religion`, `descriptor:religion/jewish`, `language:en`, `toxic`. Its figure
is an estimate, with bounds where there are some, of the share that the paper gives: of all documents, or within a row above.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from paddock.errors import DataError

Figures = Mapping[str, Mapping[str, Any]]

SCHEMA: Final = "paddock-corpus-report/"
PAPER: Final = "paper"
WITHIN: Final = {
    "she": "gendered",
    "he": "gendered",
    "unspecified": "gendered",
    "first": "any",
    "second": "any",
    "third": "any",
}

PAPER_PER_CENT: Final = {
    "gendered": 75.23,
    "she": 28.45,
    "he": 50.73,
    "unspecified": 86.38,
    "any": 94.47,
    "first": 70.71,
    "second": 61.80,
    "third": 93.07,
    "toxic": 0.2,
}
PAPER_AXES: Final = {
    "gender and sex": (5.91, "female 50.0 male 39.1 feminine 5.4 transgender 4.2 masculine 3.1"),
    "sexual orientation": (6.67, "gay 14.8 lesbian 4.3 lgbt 4.0 lgbtq 3.6 queer 3.5"),
    "nationality": (14.83, "american 69.4 indian 16.5 chinese 16.3 korean 5.1 mexican 4.9"),
    "race and ethnicity": (19.51, "european 20.7 african 11.5 asian 7.4 latin 6.2 indigenous 3.7"),
    "religion": (7.93, "christian 33.2 religious 28.8 spiritual 20.6 catholic 15.4 jewish 13.0"),
}
PAPER_LANGUAGES: Final = (
    "en 89.70 unknown 8.38 de .17 fr .16 sv .15 zh .13 es .13 ru .13 nl .12 it .11 ja .10 pl .09 pt .09 vi .08 uk .07 "
    "ko .06 ca .04 sr .04 id .03 cs .03 fi .03 hu .03 no .03 ro .03 bg .02 da .02 sl .01 hr .01"
)


def read_report(path: Path) -> dict[str, Any]:
    """The object in a `report.json`. Raises DataError for a file that holds none."""
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(path, "there is no such report", mend="paddock corpus FILES... --out FOLDER writes one") from None
    except ValueError:
        raise DataError(path, "not readable JSON") from None
    if not isinstance(report, dict) or not str(report.get("schema", "")).startswith(SCHEMA):
        raise DataError(path, "is no corpus report", mend="Give the report.json that paddock corpus writes")
    return report


def figures_of(report: Mapping[str, Any]) -> Figures:
    """The figures of a report."""
    found: dict[str, Mapping[str, Any]] = {}
    pronouns = report.get("pronouns", {})
    for name, row in pronouns.items():
        if isinstance(row, Mapping):
            found[name] = row[f"within_{WITHIN[name]}"] if name in WITHIN else row["of_all"]
    for axis, row in report.get("identities", {}).get("axes", {}).items():
        found[f"axis:{axis}"] = row["of_all"]
        for term, cells in row["descriptors"].items():
            found[f"descriptor:{axis}/{term.lower()}"] = cells["within_axis"]
    for code, row in report.get("languages", {}).get("languages", {}).items():
        found[f"language:{code}"] = row["of_all"]
    if "toxicity" in report:
        found["toxic"] = report["toxicity"]["toxic"]
    return found


def paper_figures() -> Figures:
    """The published figures: tables 9 and 10, and the share that figure 13's text gives."""
    shares = dict(PAPER_PER_CENT)
    for axis, (share, terms) in PAPER_AXES.items():
        shares[f"axis:{axis}"] = share
        shares |= {f"descriptor:{axis}/{term}": float(value) for term, value in _pairs(terms)}
    shares |= {f"language:{code}": float(value) for code, value in _pairs(PAPER_LANGUAGES)}
    return {name: {"estimate": share / 100} for name, share in shares.items()}


def true_figures(rates: Mapping[str, Any]) -> Figures:
    """The rates by construction of a miniature world, as its truth gives them."""
    pronouns = rates["pronouns"]
    shares = {"gendered": pronouns["gendered"], "any": pronouns["any"]}
    shares |= {"unspecified" if name == "they" else name: share for name, share in pronouns["within"].items()}
    for axis, row in rates["identities"].items():
        shares[f"axis:{axis}"] = row["documents"]
        shares |= {f"descriptor:{axis}/{term}": share for term, share in row["descriptors"].items()}
    shares |= {f"language:{code}": share for code, share in rates["languages"].items()}
    shares["toxic"] = rates["rude_documents"]
    return {name: {"estimate": share} for name, share in shares.items()}


def compared(names: tuple[str, ...]) -> dict[str, Figures]:
    """The figures of other reports by the name of their column: `paper`, or the folder that holds a `report.json`."""
    found: dict[str, Figures] = {}
    for name in names:
        if name == PAPER:
            found["Llama 2 (paper)"] = paper_figures()
        else:
            found[Path(name).resolve().parent.name] = figures_of(read_report(Path(name)))
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    words = text.split()
    return list(zip(words[::2], words[1::2], strict=True))
