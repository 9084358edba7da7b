"""The settings of the corpus report."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from paddock.safety.corpus.lexicon import Hyphens, Overlap
from paddock.settings import StageSettings

Measure = Literal["pronouns", "identities", "languages", "toxicity", "duplicates", "personal data"]
MEASURES: tuple[Measure, ...] = ("pronouns", "identities", "languages", "duplicates", "personal data")
TOXIGEN = "tomh/toxigen_hatebert"


class CorpusSettings(StageSettings):
    """What is read, what is counted, and the choices that the paper leaves open."""

    may_change: ClassVar[frozenset[str]] = frozenset({"compare"})
    passing: ClassVar[frozenset[str]] = frozenset({"workers", "ray"})

    data: tuple[str, ...] = Field(min_length=1, description="documents: files, folders or globs; each file is a shard")
    field: str = Field("text", description="key of a row that holds its text")
    measures: tuple[Measure, ...] = Field(
        MEASURES, description="of pronouns, identities, languages, toxicity, duplicates, personal data"
    )
    descriptors: str | None = Field(None, description="HolisticBias' descriptors.json; none: the project's own list")
    overlap: Overlap = Field(
        "all", description='"all" counts terms within longer ones too; "longest" takes the longest term'
    )
    hyphens: Hyphens = Field("as written", description='"or space" takes hyphen and space in a descriptor for each other')
    match_case: bool = Field(False, description="whether descriptors of a file are matched in the case that they have there")
    words_in: Literal["all", "english"] = Field(
        "all", description="documents whose pronouns and identities are counted (paper: of an English corpus)"
    )
    language_threshold: float = Field(0.5, ge=0, le=1, description="below it a language is unknown (paper, table 10: 0.5)")
    classifier: str = Field(
        TOXIGEN, description="of toxicity: a transformers model, a Paddock reward model, or what train-toxicity wrote"
    )
    toxicity_share: float = Field(0.1, gt=0, le=1, description="share of the English documents that is scored (paper: 0.1)")
    score_empty_lines: bool = Field(False, description="whether lines without text count towards a document's toxicity")
    tokenizer: str | None = Field(
        None, description="a tokenizer's folder, to count tokens and find contamination; else words"
    )
    benchmarks: tuple[str, ...] = Field(
        (), description='files of benchmark samples, {"text": ..., "score": ...}: how far the corpus holds them (paper A.6)'
    )
    compare: tuple[str, ...] = Field((), description='reports to put beside this one: report.json files, or "paper"')
    workers: int = Field(0, ge=0, description="processes; 0: one a processor")
    ray: str | None = Field(None, description="address of a Ray cluster that counts instead of processes here")
    seed: int = Field(0, ge=0, description="draws the documents that are scored for toxicity")

    @model_validator(mode="after")
    def _possible(self) -> CorpusSettings:
        if self.match_case and self.descriptors is None:
            raise ValueError("match_case needs a file of descriptors: the project's own list is in lower case")
        if self.needs_english and "languages" not in self.measures:
            raise ValueError('toxicity and words_in: english need "languages" among the measures')
        return self

    @property
    def needs_english(self) -> bool:
        """Whether the English documents have to be told from the others."""
        return "toxicity" in self.measures or self.words_in == "english"

    def inputs(self) -> list[str]:
        """The shards, and what they are measured with."""
        named = (self.descriptors, self.tokenizer, *self.benchmarks, *(path for path in self.compare if path != "paper"))
        return [*self.data, *(path for path in named if path is not None)]
