"""What names a model: read, checked, and what is wrong with it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.backends.spec import EndpointSpec, LocalSpec, Prices, RepliesSpec, SamplingSettings, read_spec, spec_inputs
from paddock.errors import DataError, SettingsError
from paddock.protocols import Sampling

ENDPOINT = "kind: openai\nbase_url: https://example.com/v1/\nmodel: big\nsampling: {temperature: 0.1, stop: [END]}\n"


def test_a_path_names_a_folder_or_a_file_of_replies():
    assert read_spec("runs/a/model") == LocalSpec(model="runs/a/model")
    assert read_spec(Path("falcon.jsonl")) == RepliesSpec(replies="falcon.jsonl")
    assert read_spec("falcon.jsonl.zst") == RepliesSpec(replies="falcon.jsonl.zst")


def test_a_yaml_file_and_its_fields_name_the_same(tmp_path: Path):
    file = tmp_path / "big.yaml"
    file.write_text(ENDPOINT)
    fields = {"kind": "openai", "base_url": "https://example.com/v1", "model": "big"}
    assert read_spec(file) == read_spec({**fields, "sampling": {"temperature": 0.1, "stop": ["END"]}})
    assert isinstance(read_spec(file), EndpointSpec)
    assert spec_inputs(file) == [str(file)]


def test_what_a_spec_reads_are_its_file_and_what_that_names(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("kind: local\nmodel: runs/a/model\n")
    assert spec_inputs(str(file)) == [str(file), "runs/a/model"]
    assert spec_inputs({"kind": "transformers", "model": "no/such-folder"}) == []
    assert spec_inputs({"kind": "transformers", "model": str(tmp_path)}) == [str(tmp_path)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model: big\n", r"big.yaml says no kind: one of local, transformers, openai, vllm, replies is known"),
        ("kind: opnai\n", r'big.yaml says kind "opnai": .* Did you mean "openai"\?'),
        (ENDPOINT + "temperatur: 1\n", r'big.yaml: unknown setting "temperatur"'),
        ("kind: openai\nbase_url: example.com\nmodel: m\n", "an address begins with http"),
        ("kind: local\nmodel: m\nsampling: {top_pp: 1}\n", r'unknown setting "sampling.top_pp"\. Did you mean "top_p"'),
        ("kind: [\n", r"big.yaml:\d: not readable YAML"),
        ("kind: [openai]\n", r"big.yaml says kind \"\['openai'\]\""),
    ],
)
def test_a_spec_that_cannot_be_is_refused_by_file_and_field(tmp_path: Path, text: str, problem: str):
    file = tmp_path / "big.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem):
        read_spec(file)


def test_a_yaml_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.yaml: there is no such specification"):
        read_spec(tmp_path / "none.yaml")


def test_a_models_own_sampling_stands_over_the_callers_and_the_rest_is_the_callers():
    own = SamplingSettings(temperature=0.0, stop=("END",))
    assert own.over(Sampling(n=3, temperature=1, top_p=0.9, seed=5)) == Sampling(
        n=3, temperature=0, top_p=0.9, seed=5, stop=("END",)
    )


def test_a_price_is_for_a_million_tokens():
    assert Prices(read=2, written=10).of(500_000, 1000) == pytest.approx(1.01)
