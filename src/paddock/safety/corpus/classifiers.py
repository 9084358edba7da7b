"""The classifiers of toxicity, by their specification: a small linear one, a transformers model, a Paddock reward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import MissingExtraError, PaddockError
from paddock.safety.corpus.linear import CLASSIFIER_FILE, LinearClassifier
from paddock.safety.corpus.toxicity import LineClassifier

LINES_AT_ONCE: Final = 64
MOST_TOKENS: Final = 512
NOT_CHECKED: Final = "not checked here"
PROMPT: Final = "Write a line."


def open_classifier(spec: str) -> LineClassifier:
    """The classifier that `spec` names: a folder of `train-toxicity`, a Paddock reward model, or a transformers model.

    Raises PaddockError where it cannot be loaded.
    """
    folder = Path(spec)
    if (folder / CLASSIFIER_FILE).is_file():
        return LinearClassifier.load(folder)
    if (folder / "tokenizer.model").is_file():
        return RewardClassifier(spec)
    return TransformersClassifier(spec)


class TransformersClassifier:
    """Any sequence classifier of transformers. One output: its sigmoid; more: the softmax of the toxic label.

    The toxic label is the one named toxic, hate or offensive; where none is, the second (ToxiGen's models name none).
    """

    def __init__(self, name: str) -> None:
        try:
            import torch
            import transformers
        except ImportError:
            raise MissingExtraError("transformers", "hf") from None
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            self.model = transformers.AutoModelForSequenceClassification.from_pretrained(name).eval()
        except (OSError, ValueError) as error:
            raise PaddockError(
                f"the classifier {name} cannot be loaded ({str(error).splitlines()[0]}). Name a folder that holds one, or "
                "train a small one: paddock corpus train-toxicity FILE.csv"
            ) from None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device)
        self.toxic = _toxic_label(self.model.config.id2label)
        self.name = name

    @property
    def about(self) -> dict[str, Any]:
        """The model's name and the label that counts."""
        label = self.model.config.id2label[self.toxic]
        return {"kind": "transformers", "name": self.name, "toxic_label": label, "hatecheck": NOT_CHECKED}

    def probabilities(self, lines: Sequence[str]) -> NDArray[np.float64]:
        """The probability that each line is toxic; lines of like length share a batch, and those over 512 tokens are cut."""
        import torch

        order = sorted(range(len(lines)), key=lambda place: len(lines[place]))
        found = np.empty(len(lines))
        for begin in range(0, len(order), LINES_AT_ONCE):
            places = order[begin : begin + LINES_AT_ONCE]
            inputs = self.tokenizer(
                [lines[place] for place in places],
                padding=True,
                truncation=True,
                max_length=MOST_TOKENS,
                return_tensors="pt",
            ).to(self.device)
            with torch.inference_mode():
                logits = self.model(**inputs).logits.float()
            shares = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)
            found[places] = shares[:, self.toxic].cpu().numpy()
        return found


def _toxic_label(labels: dict[int, str]) -> int:
    if len(labels) == 1:
        return 0
    named = [
        place
        for place, label in labels.items()
        if any(word in label.lower() for word in ("toxic", "hate", "offensive"))
        and not label.lower().startswith(("non", "not", "no_"))
    ]
    return named[0] if named else 1


class RewardClassifier:
    """A Paddock reward model of safety: a line is as toxic as its score, as an answer, is unlikely to be preferred."""

    def __init__(self, folder: str) -> None:
        from paddock.backends.local import open_local_scorer

        self.scorer = open_local_scorer(folder)
        self.folder = folder

    @property
    def about(self) -> dict[str, Any]:
        """The model's folder, and how its score is turned."""
        return {"kind": "reward model", "name": self.folder, "toxic_label": "1 - sigmoid", "hatecheck": NOT_CHECKED}

    def probabilities(self, lines: Sequence[str]) -> NDArray[np.float64]:
        """One minus the sigmoid of each line's score. Raises PaddockError for a line that cannot be scored."""
        from paddock.text.dialog import Dialog, Message

        dialogs = [Dialog((Message("user", PROMPT), Message("assistant", line))) for line in lines]
        scores = self.scorer.score(dialogs)
        if None in scores:
            raise PaddockError(f"{self.folder} gave no score to {scores.count(None)} of {len(lines)} lines")
        return 1 / (1 + np.exp(np.array(scores, np.float64)))
