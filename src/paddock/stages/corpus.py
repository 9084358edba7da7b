"""Know what is in the pretraining data: the paper's section 4.1, for any corpus, in one pass.

Pronouns (table 9a), identities (table 9b), toxicity (figure 13) and languages (table 10) are counted as the paper counts
them (docs/corpus.md has each definition, and the choices that the paper leaves open). Beside them stands what a corpus'
owner asks next: how large it is, how long its documents are, how many of them are the same, how many hold an address or a
number of a person, and how far it holds the benchmarks that a model will be judged by (appendix A.6).

The report departs from the paper in one way: it names both denominators of every row, and a 95% interval beside each.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import EmptyDataError
from paddock.progress import say
from paddock.run_dir import StageDir, atomic_write, to_json, versions
from paddock.safety.corpus import contamination, duplicates, identities, languages, personal_data, pronouns, totals, toxicity
from paddock.safety.corpus.scan import Tools, merged, scan, tools_of
from paddock.safety.corpus.settings import CorpusSettings
from paddock.text.readers import locations

SCHEMA: Final = "paddock-corpus-report/1"
REPORT_FILE: Final = "report.json"
WHERE_NOT_CHOICES: Final = ("data", "compare", "workers", "ray")


def plan(settings: CorpusSettings) -> dict[str, Any]:
    """How much would be read, and what counted."""
    shards = shards_of(settings)
    return {
        "shards": len(shards),
        "bytes_on_disk": sum(Path(shard).stat().st_size for shard in shards),
        "measures": list(settings.measures),
        "benchmarks": list(settings.benchmarks),
    }


def run(settings: CorpusSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Scan, and write `report.json`; the results are its headline. Raises EmptyDataError where no document could be read."""
    shards = shards_of(settings)
    folder = stage_dir.path / "shards"
    broken = scan(shards, settings, folder)
    for shard, problem in broken.items():
        say(f"corpus: left out as a whole: {problem if shard in problem else f'{shard}: {problem}'}")
    counts, longest, hash_files = merged(shards, folder)
    if not counts["documents"]:
        reasons = "; ".join([*broken.values(), *(f"{key.removeprefix('skipped/')}" for key in counts if "skipped/" in key)])
        raise EmptyDataError(", ".join(settings.data), f"no document could be read ({reasons or 'the files are empty'})")
    report = report_of(settings, counts, longest, hash_files, {"read": len(shards) - len(broken), "broken": broken})
    atomic_write(stage_dir.path / REPORT_FILE, to_json(report))
    say(f"corpus: {counts['documents']:,} documents, {counts['bytes']:,} bytes; {stage_dir.path / REPORT_FILE}")
    return headline(report)


def shards_of(settings: CorpusSettings) -> list[str]:
    """Every file once, in a fixed order."""
    return list(dict.fromkeys(place for source in settings.data for place in locations(source)))


def report_of(
    settings: CorpusSettings,
    counts: Counter[str],
    longest: NDArray[np.int32] | None,
    hash_files: list[Path],
    shards: dict[str, Any],
) -> dict[str, Any]:
    """The object in `report.json`; docs/corpus.md documents it. What was not measured is not in it."""
    tools: Tools = tools_of(settings)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "choices": settings.model_dump(mode="json", exclude=set(WHERE_NOT_CHOICES)),
        "versions": versions(),
        "shards": shards,
        "corpus": totals.table(counts),
    }
    if "pronouns" in settings.measures:
        report["pronouns"] = pronouns.table(counts)
    if "identities" in settings.measures:
        report["identities"] = identities.table(counts, tools.descriptors)
    if "languages" in settings.measures:
        report["languages"] = languages.table(counts, settings.language_threshold)
    if "toxicity" in settings.measures:
        report["toxicity"] = toxicity.table(counts, tools.classifier.about, settings.toxicity_share)
    if "duplicates" in settings.measures:
        different = duplicates.distinct(hash_files, counts["documents"])
        report["duplicates"] = duplicates.table(counts["documents"], different)
    if "personal data" in settings.measures:
        report["personal_data"] = personal_data.table(counts)
    if tools.benchmarks is not None and longest is not None:
        report["contamination"] = contamination.table(tools.benchmarks, longest, settings.tokenizer)
    return report


def headline(report: dict[str, Any]) -> dict[str, Any]:
    """The few figures that stand for the report in a run's results."""
    corpus, shards = report["corpus"], report["shards"]
    found: dict[str, Any] = {key: corpus[key] for key in ("documents", "bytes", "words", "tokens") if key in corpus}
    if shards["broken"]:
        found["broken_shards"] = len(shards["broken"])
    if corpus["skipped"]:
        found["skipped_rows"] = corpus["skipped"]
    if "pronouns" in report:
        found["gendered_pronouns"] = report["pronouns"]["gendered"]["of_all"]["estimate"]
        found["any_pronoun"] = report["pronouns"]["any"]["of_all"]["estimate"]
    if "identities" in report:
        axes = report["identities"]["axes"]
        found["identities"] = {axis: row["of_all"]["estimate"] for axis, row in axes.items()}
    if "languages" in report:
        found["english"] = report["languages"]["languages"].get("en", {}).get("of_all", {}).get("estimate", 0.0)
    if "toxicity" in report:
        found["toxic_documents"] = report["toxicity"]["toxic"]["estimate"]
    if "duplicates" in report:
        found["repeated_documents"] = report["duplicates"]["repeated"]["estimate"]
    return found
