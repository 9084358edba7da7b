"""A chat model behind an OpenAI-compatible endpoint: OpenAI's own, vLLM's server, llama.cpp's, Ollama's and many others.

Dialogs go to `chat/completions`, plain text to `completions`. A request that may succeed later (too many requests, an error
of the server, no answer in time, an answer that cannot be read) is sent again after a wait that doubles, or after the wait
that the endpoint asks for. What fails for good is a completion with `finish_reason` "error" and the reason; only a wrong key
or address, with which nothing can succeed, stops the work.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import sleep
from typing import Any, Literal, TypeVar

import httpx

from paddock.backends.spec import EndpointSpec
from paddock.errors import PaddockError, SettingsError, UnsupportedError
from paddock.protocols import Completion, Prompt, Sampling, Usage
from paddock.text.dialog import Dialog

RETRIED = (408, 409, 425, 429)  # and all from 500 on
HOPELESS = {
    401: "the endpoint refuses the key: look at api_key_env",
    404: "the endpoint knows no such address or model: look at base_url, which often ends in /v1, and model",
}
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0  # seconds between two tries
SHOWN = 200  # characters of an error's text

Item = TypeVar("Item")
Result = TypeVar("Result")


class Endpoint:
    """A `ChatModel` behind an address. Raises SettingsError where the variable that holds its key is not set."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.spec = spec
        headers = {"Content-Type": "application/json"}
        if spec.api_key_env is not None:
            key = os.environ.get(spec.api_key_env, "").strip()
            if not key:
                raise SettingsError(f"{spec.base_url}: the environment variable {spec.api_key_env} holds no key: set it")
            headers["Authorization"] = f"Bearer {key}"
        try:
            httpx.URL(spec.base_url)
        except httpx.InvalidURL as error:
            raise SettingsError(f"base_url {spec.base_url} is no address ({error})") from None
        limits = httpx.Limits(max_connections=spec.concurrency)
        self.client = httpx.Client(headers=headers, timeout=spec.timeout, limits=limits)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Draw `sampling.n` completions for each prompt, in the prompts' order, failed ones among them.

        An endpoint that gives fewer at a time is asked again. Raises PaddockError for a wrong key or address.
        """
        return self._each(lambda prompt: self._samples(prompt, sampling), prompts)

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of each token of each continuation of a plain text, where the endpoint echoes them.

        A token that begins in the prompt and ends in the continuation is the continuation's. Raises UnsupportedError for a
        dialog, and for an endpoint that does not echo; PaddockError for a request that fails.
        """
        if any(isinstance(prompt, Dialog) for prompt in prompts):
            raise UnsupportedError(f"{self.spec.model}: chat completions tell nothing of a given answer. Give plain text")
        return self._each(self._echoed, list(zip(map(str, prompts), continuations, strict=True)))

    def _each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work` of each item, some at a time; an error ends what has not begun."""
        pool = ThreadPoolExecutor(self.spec.concurrency)
        try:
            return list(pool.map(work, items))
        finally:
            pool.shutdown(cancel_futures=True)

    def _samples(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        found: list[Completion] = []
        while (missing := sampling.n - len(found)) > 0:
            route, body = _request(prompt, sampling, missing, sampling.seed + len(found))
            answer = self._ask(route, body, lambda content: list(_completions(content, isinstance(prompt, Dialog))))
            if isinstance(answer, str):
                failed = Completion("", finish_reason="error", error=answer)
                return [*found, *[failed] * missing]
            found += answer[:missing]
        return found

    def _echoed(self, pair: tuple[str, str]) -> list[float]:
        prompt, continuation = pair
        # One token more is asked for, since some endpoints refuse none.
        body = {"prompt": prompt + continuation, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        answer = self._ask("completions", body, lambda content: content)
        if isinstance(answer, str):
            raise PaddockError(f"{self.spec.model}: {answer}")
        try:
            echoed = answer["choices"][0]["logprobs"]
            columns = zip(echoed["tokens"], echoed["text_offset"], echoed["token_logprobs"], strict=True)
            rows = [(offset, offset + len(token), number) for token, offset, number in columns]
        except (KeyError, IndexError, TypeError, ValueError):
            rows = []
        if not rows or rows[0][0] != 0:
            raise UnsupportedError(f"{self.spec.model}: its endpoint does not echo the log-probabilities of a given text")
        whole = len(prompt) + len(continuation)
        return [float(number) for begin, end, number in rows if end > len(prompt) and begin < whole]

    def _ask(self, route: str, body: dict[str, Any], read: Callable[[Any], Result]) -> Result | str:
        """What `read` makes of the answer to a request, or in words why there is none after all tries."""
        fields = {"model": self.spec.model, **body, **self.spec.body}
        # Half a surrogate pair, which models write and UTF-8 cannot hold, goes as JSON escapes it.
        sent = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
        problem = ""
        for tried in range(1, self.spec.tries + 1):
            asked_to_wait = None
            try:
                response = self.client.post(f"{self.spec.base_url}/{route}", content=sent)
                response.raise_for_status()
                return read(response.json())
            except httpx.TimeoutException:
                problem = f"no answer within {self.spec.timeout:g} s"
            except httpx.HTTPStatusError:
                code, problem = response.status_code, f"HTTP {response.status_code}: {_message(response)}"
                if code in HOPELESS:
                    raise PaddockError(f"{self.spec.base_url}: {problem}. {HOPELESS[code]}") from None
                if code not in RETRIED and code < 500:
                    return problem
                asked_to_wait = _retry_after(response)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                problem = f"an answer that cannot be read ({type(error).__name__}: {error}): {response.text[:SHOWN]}"
            wait = _backed_off(tried) if asked_to_wait is None else asked_to_wait
            if wait > LONGEST_WAIT:
                return f"{problem}; it asks to wait {wait:.0f} s"
            if tried < self.spec.tries:
                sleep(wait)
        return f"{problem}; tried {self.spec.tries} times"


def _request(prompt: Prompt, sampling: Sampling, n: int, seed: int) -> tuple[str, dict[str, Any]]:
    """The route and the fields of a request for `n` completions."""
    body = {
        "n": n,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or None,
        "max_tokens": sampling.max_new_tokens,
        "stop": list(sampling.stop) or None,
        "seed": seed,
    }
    if isinstance(prompt, Dialog):
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        return "chat/completions", {"messages": messages, **body}
    return "completions", {"prompt": prompt, **body}


def _completions(content: dict[str, Any], is_chat: bool) -> Iterator[Completion]:
    """The completions in an answer; the first carries what the endpoint counted. Raises ValueError and its like."""
    choices, counted = content["choices"], content.get("usage") or {}
    if not choices:
        raise ValueError("there is no choice in it")
    usage = Usage(int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0)) if counted else None
    for place, choice in enumerate(choices):
        text, reason = choice["message"]["content"] if is_chat else choice["text"], choice.get("finish_reason")
        first = usage if place == 0 else None
        if not isinstance(text, str) or reason == "content_filter":
            yield Completion(text or "", finish_reason="error", error=f"no text: {reason}", usage=first)
        else:
            ended: Literal["stop", "length"] = "length" if reason == "length" else "stop"
            yield Completion(text.strip() if is_chat else text, finish_reason=ended, usage=first)


def _message(response: httpx.Response) -> str:
    """What an endpoint says of an error: the message in its JSON, else the beginning of its text."""
    try:
        return str(response.json()["error"]["message"])[:SHOWN]
    except (ValueError, KeyError, TypeError):
        return response.text[:SHOWN]


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds that an endpoint asks to wait: it gives them, or a date."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _backed_off(tried: int) -> float:
    """The wait after so many tries: it doubles, and is drawn by half at random, so that requests do not come in step."""
    longest: float = min(FIRST_WAIT * 2 ** (tried - 1), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1.0)
