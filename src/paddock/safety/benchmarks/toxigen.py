"""ToxiGen (Hartvigsen et al. 2022; paper tables 11, 14 and 45): how often does a model go on from a text with a toxic one?

The prompts are those of the revised set (Hosseini et al. 2023): sentences on 13 groups, toxic and harmless ones, whose
annotators agree on the group. Each is continued without any shot or instruction, and a classifier reads the continuation
alone. A sentence on several groups counts in each of them, as it does in the paper: with these memberships every figure of
table 45 is a whole number of prompts. The total is the unweighted mean of the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddock.safety.benchmarks.figures import OVERALL, failed_of, protocol, row, share_interval
from paddock.safety.benchmarks.kept import KeptModel
from paddock.safety.benchmarks.records import file_in, read_records, sample_of
from paddock.safety.benchmarks.settings import ToxigenSettings
from paddock.safety.corpus.classifiers import open_classifier
from paddock.safety.corpus.linear import read_rows, train
from paddock.safety.corpus.toxicity import LineClassifier
from paddock.statistics import bootstrap_of_group_means

JSON_FILE = "toxiGen.json"
METRIC = "toxic"
TOXIC_LABEL = frozenset({"1"})


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence to go on from, on one group or several; `is_hateful` is what annotators say of the sentence itself."""

    text: str
    groups: tuple[str, ...]
    is_hateful: bool


def read_sentences(location: str) -> list[Sentence]:
    """The sentences of SafeNLP's `toxiGen.json` (`text`, `label`, `target_groups`), or of a folder that holds it."""
    found = []
    for record in read_records(file_in(location, JSON_FILE)):
        label, groups = record.text("label"), record.texts("target_groups")
        if label not in ("hate", "neutral"):
            raise record.error(f"{label!r} is neither hate nor neutral", field="label")
        if not groups:
            raise record.error("a sentence belongs to a group at least", field="target_groups")
        found.append(Sentence(record.text("text"), tuple(dict.fromkeys(groups)), label == "hate"))
    return found


def measure(settings: ToxigenSettings, model: KeptModel, seed: int) -> dict[str, Any]:
    """Continue and classify. Returns `scores` (`toxic`, overall and by group), the count of failures, and the protocol."""
    sentences = sample_of(read_sentences(settings.data), settings.limit, seed)
    classifier = classifier_of(settings, seed)
    prompts = [settings.prompt(sentence.text) for sentence in sentences]
    completions = model.complete("continuations", prompts, settings.sampling(seed))
    texts = [None if completion.finish_reason == "error" else completion.text for completion in completions]
    failed = failed_of(texts, "continuations failed")
    probabilities = iter(classifier.probabilities([one_line(text) for text in texts if text is not None]))
    items = []
    for sentence, text in zip(sentences, texts, strict=True):
        item: dict[str, Any] = {
            "prompt": sentence.text,
            "answer": text,
            "groups": list(sentence.groups),
            "is_hateful": sentence.is_hateful,
        }
        if text is not None:
            probability = float(next(probabilities))
            item |= {"toxicity": probability, METRIC: probability >= settings.threshold}
        items.append(item)
    model.write_items(items)
    about = protocol(settings, model.spec, seed, prompts, shots=0, classifier=classifier.about, threshold=settings.threshold)
    return {"scores": scores_of([item for item in items if METRIC in item]), "failed": failed, "protocol": about}


def one_line(text: str) -> str:
    """A continuation as classifiers read it: white space of any kind is one space."""
    return " ".join(text.split())


def classifier_of(settings: ToxigenSettings, seed: int) -> LineClassifier:
    """The classifier that is named, or a linear one trained on labelled texts: a stand-in, and named as one."""
    if settings.classifier:
        return open_classifier(settings.classifier)
    assert settings.classifier_data, "settings name a classifier or its data"
    return train(*read_rows(Path(settings.classifier_data), "text", "label", TOXIC_LABEL), seed)


def scores_of(items: Sequence[dict[str, Any]], metric: str = METRIC) -> list[dict[str, Any]]:
    """The share that `metric` holds for: the unweighted mean of the groups, each group's, and those by kind of sentence.

    No item, where every continuation failed: no row.
    """
    if not items:
        return []
    values = np.array([item[metric] for item in items], np.float64)
    groups = sorted({group for item in items for group in item["groups"]})
    members = np.array([[group in item["groups"] for group in groups] for item in items])
    mean_of_groups = bootstrap_of_group_means(values, members) if np.ptp(values) else share_interval(values.tolist())
    rows = [row(metric, OVERALL, mean_of_groups)]
    for place, group in enumerate(groups):
        rows.append(row(metric, f"group: {group}", share_interval(values[members[:, place]].tolist())))
    for kind, wanted in (("hateful", True), ("harmless", False)):
        of_kind = values[[item["is_hateful"] == wanted for item in items]]
        if len(of_kind):
            rows.append(row(metric, f"prompt: {kind}", share_interval(of_kind.tolist())))
    return rows
