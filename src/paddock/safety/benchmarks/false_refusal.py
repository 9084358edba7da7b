"""False refusal (paper section 4.2.3; XSTest, Röttger et al. 2023): how many harmless prompts does a model refuse?

XSTest has 250 prompts that sound harmful and are not, and 200 that are. A borderline set stands beside it: the 210 prompts
that come with Paddock, or one's own; the paper's 210 are not public. A detector that has learnt from people's labels of
other models' answers tells full compliance, full refusal and partial refusal apart; a refusal is full or partial. XSTest's
own rule, a list of openings, stands beside it, since others report it, and where the two disagree more than on XSTest's own
replies the detector may not fit a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.progress import say
from paddock.protocols import Prompt
from paddock.safety.benchmarks.figures import failed_of, protocol, row, share_interval
from paddock.safety.benchmarks.kept import KeptModel
from paddock.safety.benchmarks.records import Record, file_in, read_records, sample_of
from paddock.safety.benchmarks.refusals import FULL, PARTIAL, RefusalDetector, opens_as_refusal, read_labelled
from paddock.safety.benchmarks.settings import OWN, FalseRefusalSettings
from paddock.text.dialog import Dialog, Message
from paddock.text.readers import read_prompts

CSV_FILE = "xstest_prompts.csv"
OWN_FILE = Path(__file__).parent / "borderline.txt"
UNSAFE_TYPE = "contrast_"
METRICS = ("refused", "fully_refused", "partially_refused", "opens_as_refusal", "opening_disagrees")
DISAGREES = METRICS[-1]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt of one of the sets: `xstest safe`, `xstest unsafe` or `borderline`."""

    prompt: Dialog
    set: str
    type: str


def read_xstest(location: str) -> list[Request]:
    """The prompts of `xstest_prompts.csv` or a folder that holds it: columns `prompt`, `type`, and perhaps `label`."""
    return [_request(record) for record in read_records(file_in(location, CSV_FILE))]


def _request(record: Record) -> Request:
    kind = record.text("type")
    label = record.values.get("label") or ("unsafe" if kind.startswith(UNSAFE_TYPE) else "safe")
    if label not in ("safe", "unsafe"):
        raise record.error(f"{label!r} is neither safe nor unsafe", field="label")
    return Request(Dialog((Message("user", record.text("prompt").strip()),)), f"xstest {label}", kind)


def read_borderline(location: str) -> list[Request]:
    """A further set of harmless prompts: dialogs that end with the user, or an object `{"instructions": [...]}`; "paddock"
    names the 210 that come with it."""
    if location == OWN:
        texts = OWN_FILE.read_text(encoding="utf-8").splitlines()
        return [Request(Dialog((Message("user", text),)), "borderline", "borderline") for text in texts]
    if location.endswith((".json", ".json.gz")):
        record = next(read_records(location))
        if "instructions" in record.values:
            dialogs = [Dialog((Message("user", text.strip()),)) for text in record.texts("instructions")]
            return [Request(dialog, "borderline", "borderline") for dialog in dialogs]
    return [Request(dialog, "borderline", "borderline") for dialog in read_prompts([location])]


def requests_of(settings: FalseRefusalSettings) -> list[Request]:
    """XSTest's prompts, and those of the borderline set where there is one."""
    return read_xstest(settings.data) + (read_borderline(settings.borderline) if settings.borderline else [])


def measure(settings: FalseRefusalSettings, model: KeptModel, seed: int) -> dict[str, Any]:
    """Ask and detect. Returns `scores` by set and type of prompt, failures, on how many replies the detector and the list of
    openings disagree, and the protocol with the detector's worth."""
    detector = RefusalDetector.calibrated(read_labelled(settings.calibration))
    say(f"false refusal: {detector.in_words()}")
    requests = sample_of(requests_of(settings), settings.limit, seed)
    prompts: list[Prompt] = [
        request.prompt if settings.chat else request.prompt.messages[-1].content for request in requests
    ]
    completions = model.complete("answers", prompts, settings.sampling(seed))
    texts = [None if completion.finish_reason == "error" else completion.text for completion in completions]
    failed = failed_of(texts, "answers failed")
    labels = iter(detector.labels([text for text in texts if text is not None]))
    items = []
    for request, text in zip(requests, texts, strict=True):
        item: dict[str, Any] = {
            "prompt": request.prompt.messages[-1].content,
            "answer": text,
            "set": request.set,
            "type": request.type,
        }
        if text is not None:
            label, opens = next(labels), opens_as_refusal(text)
            item |= {
                "label": label,
                "refused": label in (FULL, PARTIAL),
                "fully_refused": label == FULL,
                "partially_refused": label == PARTIAL,
                "opens_as_refusal": opens,
                DISAGREES: opens != (label in (FULL, PARTIAL)),
            }
        items.append(item)
    model.write_items(items)
    about = protocol(settings, model.spec, seed, prompts, shots=0, borderline=settings.borderline, detector=detector.about)
    told = [item for item in items if "label" in item]
    disagree = sum(item[DISAGREES] for item in told)
    say(
        f"false refusal: the detector and the list of openings disagree on {disagree} of {len(told)} replies, in items.jsonl"
    )
    return {"scores": scores_of(told), "failed": failed, "opening_disagrees": disagree, "protocol": about}


def scores_of(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The share of each metric in each set, and the share refused of each type of prompt within XSTest."""
    rows = []
    for metric in METRICS:
        for name in dict.fromkeys(item["set"] for item in items):
            rows.append(_share(metric, f"set: {name}", [item[metric] for item in items if item["set"] == name]))
    for kind in dict.fromkeys(item["type"] for item in items if item["set"] != "borderline"):
        rows.append(_share("refused", f"type: {kind}", [item["refused"] for item in items if item["type"] == kind]))
    return rows


def _share(metric: str, group: str, values: Sequence[bool]) -> dict[str, Any]:
    return row(metric, group, share_interval([float(value) for value in values]))
