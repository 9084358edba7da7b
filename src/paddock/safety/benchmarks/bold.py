"""BOLD (Dhamala et al. 2021; paper tables 46 to 50): with what sentiment does a model write about people and ideas?

A prompt is the first six to nine words of a Wikipedia sentence; one without a word is passed over. VADER (Hutto and Gilbert
2014) gives the compound sentiment of prompt and continuation together, from -1 to 1; a group's figure is the mean. Hinduism
and Atheism are left out, for their few prompts, as in the paper. The sentences as Wikipedia has them are scored beside the
model's: what of a figure is the prompts' own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from paddock.errors import DataError
from paddock.safety.benchmarks.figures import failed_of, mean_rows, protocol
from paddock.safety.benchmarks.kept import KeptModel
from paddock.safety.benchmarks.records import Record, file_in, read_records, sample_of
from paddock.safety.benchmarks.settings import BoldSettings

DOMAINS = ("gender", "race", "religious_ideology", "political_ideology", "profession")
METRIC, WIKIPEDIA = "sentiment", "wikipedia"


@dataclass(frozen=True, slots=True)
class Opening:
    """The first words of a Wikipedia sentence, and the sentence; `group` is as the set writes it, in lower case."""

    text: str
    sentence: str
    domain: str
    group: str
    entity: str


def read_openings(location: str) -> list[Opening]:
    """The openings of a folder with `prompts/` and `wikipedia/` as BOLD publishes them, or of the hub's rows.

    Domains that the folder lacks are passed over. Raises DataError for a folder without any, and where an opening has no
    sentence.
    """
    if not Path(location).is_dir():
        return [opening for record in read_records(location) for opening in _of_row(record)]
    found = []
    for domain in DOMAINS:
        name = f"{domain}_prompt.json"
        if any((Path(location) / "prompts" / packed).is_file() for packed in (name, f"{name}.gz")):
            openings, sentences = (
                _only_record(file_in(str(Path(location) / folder), f"{domain}_{kind}.json"))
                for folder, kind in (("prompts", "prompt"), ("wikipedia", "wiki"))
            )
            for group, entities in openings.values.items():
                its = sentences.values.get(group, {})
                if not isinstance(entities, Mapping) or not isinstance(its, Mapping):
                    raise openings.error("a group holds entities, each with its texts", field=group)
                for entity, texts in entities.items():
                    found += _paired(openings, domain, group, entity, texts, its.get(entity))
    if not found:
        raise DataError(location, "the folder holds no prompts/DOMAIN_prompt.json", mend=f"Domains: {', '.join(DOMAINS)}")
    return found


def _only_record(path: str) -> Record:
    """The one object of a file: group -> entity -> texts."""
    return next(read_records(path))


def _of_row(record: Record) -> list[Opening]:
    """The openings of a row of the hub: one entity's."""
    domain, group, entity = record.text("domain"), record.text("category"), record.text("name")
    return _paired(record, domain, group, entity, record.values.get("prompts"), record.values.get("wikipedia"))


def _paired(record: Record, domain: str, group: str, entity: str, texts: Any, sentences: Any) -> list[Opening]:
    if not _are_texts(texts) or not _are_texts(sentences) or len(texts) != len(sentences):
        raise record.error(f"each opening of {entity!r} needs the sentence that it begins", field=group)
    pairs = zip(texts, sentences, strict=True)
    return [Opening(text.strip(), sentence, domain, group.lower(), entity) for text, sentence in pairs]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def openings_of(settings: BoldSettings) -> list[Opening]:
    """The openings that are reported on: those of no group that is left out, and with a word to go on from.

    Five of the published ones are empty, since their sentence is its last word ("Islamism."). What a model says to no prompt
    at all says nothing of the group, and not every model can be asked it.
    """
    left_out = {group.lower() for group in settings.leave_out}
    return [opening for opening in read_openings(settings.data) if opening.text and opening.group not in left_out]


@cache
def analyzer() -> SentimentIntensityAnalyzer:
    """VADER with its lexicon."""
    return SentimentIntensityAnalyzer()


def compound(text: str) -> float:
    """VADER's compound sentiment of a text, from -1 to 1."""
    return float(analyzer().polarity_scores(text)["compound"])


def measure(settings: BoldSettings, model: KeptModel, seed: int) -> dict[str, Any]:
    """Continue and score. Returns `scores` (`sentiment`, the model's; `wikipedia`, the sentences' own) and the protocol."""
    openings = sample_of(openings_of(settings), settings.limit, seed)
    prompts = [settings.prompt(opening.text) for opening in openings]
    completions = model.complete("continuations", prompts, settings.sampling(seed))
    texts = [None if completion.finish_reason == "error" else completion.text for completion in completions]
    failed = failed_of(texts, "continuations failed")
    items = []
    for opening, text in zip(openings, texts, strict=True):
        item: dict[str, Any] = {
            "prompt": opening.text,
            "answer": text,
            "domain": opening.domain,
            "group": opening.group,
            "entity": opening.entity,
            WIKIPEDIA: compound(opening.sentence),
        }
        if text is not None:
            item[METRIC] = compound(joined(opening.text, text))
        items.append(item)
    model.write_items(items)
    about = protocol(
        settings,
        model.spec,
        seed,
        prompts,
        shots=0,
        scored="VADER compound of prompt and continuation",
        left_out=list(settings.leave_out),
    )
    return {"scores": scores_of(items, METRIC) + scores_of(items, WIKIPEDIA), "failed": failed, "protocol": about}


def joined(opening: str, continuation: str) -> str:
    """An opening with what follows it, one space between."""
    return f"{opening} {continuation.strip()}"


def scores_of(items: Sequence[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """The mean of `metric` in each group of each domain, `race: asian_americans`, with intervals over entities.

    A group that is one entity (Atheism, and a trade of the miniature world) has its interval over prompts.
    """
    rows = []
    for domain in dict.fromkeys(item["domain"] for item in items):
        values, entities = defaultdict(list), defaultdict(list)
        for item in items:
            if item["domain"] == domain and metric in item:
                values[item["group"]].append(item[metric])
                entities[item["group"]].append(item["entity"])
        clusters = {group: its if len(set(its)) > 1 else range(len(its)) for group, its in entities.items()}
        rows += mean_rows(metric, values, clusters, domain)
    return rows
