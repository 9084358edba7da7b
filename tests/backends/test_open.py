"""Opening by a spec: which back end, with which prompt and sampling, and what is imported on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from paddock.backends.configured import Configured
from paddock.backends.open import open_chat_model, open_scorer
from paddock.backends.spec import SamplingSettings
from paddock.errors import MissingExtraError, UnsupportedError
from paddock.protocols import Completion, Sampling
from paddock.text.dialog import Dialog, Message

ASKED = Dialog((Message("user", "Name a colour."),))


class Recorder:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list = []

    def complete(self, prompts, sampling):
        self.asked.append((list(prompts), sampling))
        return [[Completion("x")] for _ in prompts]

    def log_probs(self, prompts, continuations):
        self.asked.append((list(prompts), list(continuations)))
        return [[-1.0] for _ in prompts]


def test_a_system_prompt_is_given_to_dialogs_that_have_none():
    told = Dialog((Message("system", "Be rude."), *ASKED.messages))
    inner = Recorder()
    model = Configured.of(inner, "Be brief.", SamplingSettings(top_p=0.5))
    model.complete([ASKED, told, "plain"], Sampling(n=2))
    assert inner.asked == [
        ([Dialog((Message("system", "Be brief."), *ASKED.messages)), told, "plain"], Sampling(n=2, top_p=0.5))
    ]
    model.log_probs([ASKED], ["Red."])
    assert inner.asked[1] == ([Dialog((Message("system", "Be brief."), *ASKED.messages))], ["Red."])


def test_a_model_with_nothing_to_set_is_itself():
    inner = Recorder()
    assert Configured.of(inner, None, SamplingSettings()) is inner


def test_an_endpoint_of_a_yaml_file_is_asked_in_its_own_way(server, tmp_path: Path):
    file = tmp_path / "falcon.yaml"
    file.write_text(
        f"kind: openai\nbase_url: {server.url}\nmodel: f\nsystem_prompt: Be Falcon.\nsampling: {{temperature: 0}}\n"
    )
    assert open_chat_model(file).complete([ASKED], Sampling(temperature=1))[0][0].text == "hello"
    [(_, body, _)] = server.requests
    assert (body["temperature"], body["messages"][0]) == (0, {"role": "system", "content": "Be Falcon."})


def test_what_scores_nothing_is_no_scorer(tmp_path: Path):
    with pytest.raises(UnsupportedError, match="kind replies scores nothing"):
        open_scorer(tmp_path / "r.jsonl")


def test_a_missing_extra_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'paddock\[vllm\]'"):
        open_chat_model({"kind": "vllm", "model": "m"})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'paddock\[hf\]'"):
        open_chat_model({"kind": "transformers", "model": "m"})


def test_endpoints_and_ready_replies_are_opened_without_torch(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(json.dumps({"prompt": "a", "reply": "b"}) + "\n")
    fields = {"kind": "openai", "base_url": "http://localhost:1/v1", "model": "m"}
    code = (
        "import sys\nfrom paddock.backends.open import open_chat_model\n"
        f"for spec in ({str(tmp_path / 'r.jsonl')!r}, {fields!r}):\n    open_chat_model(spec)\nprint('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"


def test_vllm_is_given_dialogs_and_texts_with_the_whole_sampling(monkeypatch):
    """Against a stand-in with the names and forms of vLLM 0.10's `LLM` and `SamplingParams`."""
    asked = []

    class LLM:
        def __init__(self, **settings) -> None:
            asked.append(settings)

        def chat(self, messages, sampling_params, use_tqdm):
            asked.append((messages, sampling_params.__dict__))
            return [self._answer(" Red. ", "stop"), self._answer("Re", "length")][: len(messages)]

        def generate(self, prompts, sampling_params, use_tqdm):
            asked.append((prompts, sampling_params.n))
            return [self._answer(" blue", "abort")]

        def _answer(self, text, reason):
            return SimpleNamespace(outputs=[SimpleNamespace(text=text, token_ids=[5, 6], finish_reason=reason)])

    stand_in = ModuleType("vllm")
    stand_in.LLM, stand_in.SamplingParams = LLM, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    model = open_chat_model({"kind": "vllm", "model": "m", "devices": 2})
    found = model.complete([ASKED, "The sky is", ASKED], Sampling(temperature=0.5, max_new_tokens=4, seed=9, stop=("E",)))
    assert asked[0] == {"model": "m", "tensor_parallel_size": 2}
    messages, parameters = asked[1]
    assert messages == [[{"role": "user", "content": "Name a colour."}]] * 2
    assert parameters == {
        "n": 1, "temperature": 0.5, "top_p": 1.0, "top_k": 0, "max_tokens": 4, "stop": ["E"], "seed": 9
    }  # fmt: skip
    assert asked[2] == (["The sky is"], 1)
    assert found[0] == [Completion("Red.", (5, 6))]
    assert found[2] == [Completion("Re", (5, 6), finish_reason="length")]
    assert (found[1][0].text, found[1][0].finish_reason) == (" blue", "error")
    with pytest.raises(UnsupportedError, match="no log-probabilities"):
        model.log_probs(["a"], ["b"])
