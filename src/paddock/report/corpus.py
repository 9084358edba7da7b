"""What is in the pretraining data, in a run's page: its corpus report's tables, beside the truth of a miniature world."""

from __future__ import annotations

from paddock.report.blocks import Block, Section
from paddock.report.corpus_figures import Figures, read_report, true_figures
from paddock.report.corpus_tables import identity_tables, languages_table, pronouns_table, toxicity_blocks
from paddock.report.run_folder import Run

TRUTH = "by construction"


def section(run: Run) -> Section | None:
    """The four tables of each corpus report of the run; None where there is none."""
    truth = _truth(run)
    blocks: list[Block] = []
    for stage in run.stages:
        if stage.kind == "corpus" and stage.state == "complete":
            report = read_report(stage.folder / "report.json")
            if "pronouns" in report:
                blocks.append(pronouns_table(report, truth))
            if "identities" in report:
                blocks += identity_tables(report, truth)
            if "languages" in report:
                blocks.append(languages_table(report, truth))
            if "toxicity" in report:
                blocks += toxicity_blocks(report, truth)
    return Section("corpus", "Pretraining data", tuple(blocks)) if blocks else None


def _truth(run: Run) -> dict[str, Figures]:
    """The rates by construction, where the run made its own world."""
    worlds = [stage.results["rates"] for stage in run.stages if stage.kind == "world" and "rates" in stage.results]
    return {TRUTH: true_figures(worlds[-1])} if worlds else {}
