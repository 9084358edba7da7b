"""The local chat model: batched sampling with a cache of keys and values, streaming, and log-probabilities.

Rows that finish leave the batch and waiting prompts take their places, so that no row runs for the sake of another. A
completion's random numbers depend on the seed, on its prompt's place in the list and on its number among the prompt's
samples, never on the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from paddock.errors import PaddockError
from paddock.model.decoding import Cache, DecodingNetwork, bounds_of, decode, lay_out, prefill
from paddock.model.decoding_rows import Rows, Sample
from paddock.model.sampling import choose, uniform_numbers
from paddock.model.transformer import Transformer
from paddock.protocols import Completion, Prompt, Sampling
from paddock.text.branches import shared_length
from paddock.text.chat_format import encode_dialog, encode_prompt
from paddock.text.dialog import Dialog
from paddock.text.tokenizer import Tokenizer

TOKENS_AT_A_TIME = 4096  # of prompts read, or of texts scored, in one pass
SAMPLES_A_ROW = 4  # about how many share a row: as many more are under way as rows are aimed at


@dataclass(frozen=True, slots=True)
class Generated:
    """Sampled ids, the end token included where it was sampled, and each one's log-probability (see `sampling.choose`)."""

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]


class _Request(NamedTuple):
    """Some samples of one prompt, which are read once and share a row for as long as they are the same."""

    prompt: int
    first_sample: int
    samples: int


@torch.inference_mode()
def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    end_id: int | None = None,
    is_finished: Callable[[list[int]], bool] | None = None,
    rows: int | None = None,
    vocabulary: int | None = None,
) -> list[list[Generated]]:
    """Continue each of `prompts`, lists of at least one id, `sampling.n` times; results in the prompts' order.

    A completion ends with `end_id`, where `is_finished` of its ids so far says so, after `sampling.max_new_tokens`, or where
    the model's context is full. `sampling.stop` is text, and the caller's to see to. Sampled ids are below `vocabulary`, how
    many the tokenizer has; None: as many as the model. At most `rows` completions are decoded at a time, and fewer where the
    cache would outgrow its bytes (`bounds_of` has the bounds of both; `rows` None: its own).
    Raises ValueError for a prompt that leaves no room, and PaddockError where the model's logits are not finite.
    """
    limits = [min(sampling.max_new_tokens, model.config.context_length - len(prompt)) for prompt in prompts]
    for number, (ids, limit) in enumerate(zip(prompts, limits, strict=True)):
        if not ids or limit < 1:
            raise ValueError(f"prompt {number} has {len(ids)} ids, and the context is {model.config.context_length}")
    results: list[list[Generated]] = [[] for _ in prompts]
    if not prompts:
        return results
    decoder = _Decoder(model, prompts, limits, sampling, end_id, is_finished, rows, vocabulary)
    for sample, generated in sorted(decoder.run(), key=lambda owned: owned[0][:2]):
        results[sample.prompt].append(generated)
    return results


class _Decoder:
    """One call of `generate`: a queue of requests, the rows in use, and the cache."""

    def __init__(
        self,
        model: Transformer,
        prompts: Sequence[Sequence[int]],
        limits: list[int],
        sampling: Sampling,
        end_id: int | None,
        is_finished: Callable[[list[int]], bool] | None,
        rows: int | None,
        vocabulary: int | None,
    ) -> None:
        self.model, self.prompts, self.limits, self.sampling = model, prompts, limits, sampling
        self.end_id, self.is_finished, self.vocabulary = end_id, is_finished, vocabulary
        self.device = model.embedding.weight.device
        positions = max(len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True))
        config, width = model.config, model.embedding.weight.element_size()
        row_bytes = 2 * config.n_layers * config.n_kv_heads * config.head_dim * positions * width
        most_rows, cache_bytes = bounds_of(self.device)
        affordable = max(1, min(len(prompts) * sampling.n, cache_bytes // row_bytes))
        self.rows_aimed_at = min(rows or most_rows, affordable)
        self.capacity = min(self.rows_aimed_at * SAMPLES_A_ROW, affordable)  # rows, should all samples differ at once
        self.cache = Cache(model, self.capacity, positions)
        self.rows = Rows(self.capacity, max(limits), self.device)
        self.network: DecodingNetwork = lay_out(model, self.rows_aimed_at)
        # Prompts of like length stand side by side, so that little of the attention is spent on empty columns.
        order = sorted(range(len(prompts)), key=lambda prompt: -len(prompts[prompt]))
        self.queue = deque(
            _Request(prompt, first, min(self.rows_aimed_at, sampling.n - first))
            for prompt in order
            for first in range(0, sampling.n, self.rows_aimed_at)
        )

    def run(self) -> Iterator[tuple[Sample, Generated]]:
        """Every completion as it finishes."""
        rows = self.rows
        while self.queue or rows.samples:
            if self.queue and self.room() >= max(1, self.rows_aimed_at // 4 // self.queue[0].samples):
                self.admit()
            else:
                used = slice(len(rows.samples))
                logits = decode(self.network, self.cache, rows.last[used], rows.lengths[used], self.longest)
                rows.lengths[used] += 1
                self.longest += 1
                self.sample(0, logits)
            yield from self.collect()

    def room(self) -> int:
        """How many prompts of as many samples as the next can be admitted: each takes a row, and in the end one a sample."""
        under_way = sum(map(len, self.rows.samples))
        spare = (self.capacity - under_way) // self.queue[0].samples
        return min(spare, self.rows_aimed_at - len(self.rows.samples))

    def admit(self) -> None:
        """Read prompts from the queue into free rows, and sample the first token of their samples."""
        rows, first_row = self.rows, len(self.rows.samples)
        samples, room = self.queue[0].samples, self.room()
        requests: list[_Request] = []
        while self.queue and self.queue[0].samples == samples and len(requests) < room:
            longest = len(self.prompts[(requests or self.queue)[0].prompt])
            if requests and (len(requests) + 1) * longest > TOKENS_AT_A_TIME:
                break
            requests.append(self.queue.popleft())
        prompts = [self.prompts[request.prompt] for request in requests]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        logits = prefill(self.model, self.cache, pad(prompts, self.device), lengths, first_row)
        rows.samples += [self.samples_of(request) for request in requests]
        new = slice(first_row, len(rows.samples))
        rows.lengths[new] = lengths
        rows.limits[new] = torch.tensor([self.limits[request.prompt] for request in requests], device=self.device)
        rows.made[new] = 0
        self.longest = int(rows.lengths[: len(rows.samples)].max())
        self.sample(first_row, logits)

    def samples_of(self, request: _Request) -> list[Sample]:
        """The samples of a request, with their random numbers; greedy ones need none."""
        numbers = range(request.first_sample, request.first_sample + request.samples)
        limit, seed = self.limits[request.prompt], self.sampling.seed
        if self.sampling.temperature == 0:
            return [Sample(request.prompt, number, [0.0] * limit) for number in numbers]
        return [
            Sample(request.prompt, number, uniform_numbers(seed, request.prompt, number, limit).tolist())
            for number in numbers
        ]

    def sample(self, first: int, logits: Tensor) -> None:
        """Choose the next token of every sample of the rows from `first` on, and note it; rows fork where samples part."""
        rows = self.rows
        tokens, log_probs = choose(logits, rows.uniform(first), self.sampling, self.vocabulary)
        before = len(rows.samples)
        sources, places = rows.fork(first, tokens.tolist())
        source, place = (torch.tensor(numbers, device=self.device) for numbers in (sources, places))
        if len(rows.samples) > before:
            forked, new = source[before - first :], torch.arange(before, len(rows.samples), device=self.device)
            rows.copy(forked, new)
            self.cache.move(forked, new, self.longest)
        used = slice(first, len(rows.samples))
        made = rows.made[used, None]
        rows.last[used] = tokens[source - first, place]
        rows.token_ids[used].scatter_(1, made, rows.last[used, None])
        rows.log_probs[used].scatter_(1, made, log_probs[source - first, place][:, None])
        rows.made[used] += 1

    def collect(self) -> Iterator[tuple[Sample, Generated]]:
        """Take finished rows out, and close the gaps with the last rows in use."""
        rows, used = self.rows, len(self.rows.samples)
        full = rows.made[:used] >= rows.limits[:used]
        ended = torch.zeros_like(full) if self.end_id is None else rows.last[:used] == self.end_id
        if self.is_finished is not None:
            texts = zip(rows.token_ids[:used].tolist(), rows.made[:used].tolist(), strict=True)
            ended |= torch.tensor([self.is_finished(ids[:made]) for ids, made in texts], device=self.device)
        done = (ended | full).nonzero()[:, 0].tolist()
        if not done:
            return
        for row in done:
            made = int(rows.made[row])
            generated = Generated(
                token_ids=tuple(rows.token_ids[row, :made].tolist()),
                log_probs=tuple(rows.log_probs[row, :made].tolist()),
                finish_reason="stop" if ended[row] else "length",
            )
            yield from ((sample, generated) for sample in rows.samples[row])
        left = used - len(done)
        gaps = [row for row in done if row < left]
        movers = [row for row in range(left, used) if row not in set(done)]
        if gaps:
            source, target = (torch.tensor(rows_, device=self.device) for rows_ in (movers, gaps))
            rows.copy(source, target)
            self.cache.move(source, target, self.longest)
            for mover, gap in zip(movers, gaps, strict=True):
                rows.samples[gap] = rows.samples[mover]
        del rows.samples[left:]
        if left:
            self.longest = int(rows.lengths[:left].max())


def pad(sequences: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Sequences of ids as one tensor (B, T), the shorter ones filled up with id 0 at the end."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences], device=device)


@torch.inference_mode()
def stream(
    model: Transformer,
    prompt: Sequence[int],
    sampling: Sampling,
    end_id: int | None = None,
    vocabulary: int | None = None,
) -> Iterator[int]:
    """The ids of `generate`'s first completion of `prompt`, one by one, as they are sampled."""
    limit = min(sampling.max_new_tokens, model.config.context_length - len(prompt))
    device = model.embedding.weight.device
    cache = Cache(model, 1, len(prompt) + limit)
    network = lay_out(model, 1)
    uniform = uniform_numbers(sampling.seed, 0, 0, limit).to(device)
    length = torch.tensor([len(prompt)], device=device)
    logits = prefill(model, cache, torch.tensor([list(prompt)], device=device), length, first_row=0)
    for made in range(limit):
        token, _ = choose(logits, uniform[made : made + 1], sampling, vocabulary)
        yield int(token)
        if int(token) == end_id or made + 1 == limit:
            return
        logits = decode(network, cache, token, length, len(prompt) + made)
        length += 1


@torch.inference_mode()
def log_probs_of(model: Transformer, sequences: Sequence[tuple[Sequence[int], int]]) -> list[list[float]]:
    """The natural-log probability of each id of a sequence from a place on, given all before it.

    `sequences` are pairs (ids, first): the ids, at most the model's context and one more, and the place, at least 1, of the
    first whose probability is wanted. Results stand in order; they do not depend on what is scored together.
    """
    device = model.embedding.weight.device
    results: list[list[float]] = [[] for _ in sequences]
    waiting = deque(sorted(range(len(sequences)), key=lambda number: -len(sequences[number][0])))
    while waiting:
        at_a_time = max(1, TOKENS_AT_A_TIME // len(sequences[waiting[0]][0]))
        some = [waiting.popleft() for _ in range(min(at_a_time, len(waiting)))]
        ids = pad([sequences[number][0] for number in some], device)
        hidden = model.hidden_states(ids[:, :-1])
        for row, number in enumerate(some):
            length, first = len(sequences[number][0]), sequences[number][1]
            logits = model.head(hidden[row, first - 1 : length - 1]).float()
            wanted = ids[row, first:length, None]
            results[number] = logits.log_softmax(dim=-1).gather(-1, wanted)[:, 0].tolist()
    return results


class LocalChatModel:
    """A Transformer and its tokenizer as a `ChatModel`.

    The answer to a Dialog ends with EOS; the continuation of a plain text as well, where the model ends its document.
    """

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, device: torch.device | str | None = None, rows: int | None = None
    ) -> None:
        self.model = model if device is None else model.to(device)
        self.tokenizer, self.rows = tokenizer, rows

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Draw `sampling.n` completions for each prompt, in the prompts' order.

        A prompt that leaves no room in the context is answered with `finish_reason` "error". Raises DataError for a dialog
        that has no place in the chat format.
        """
        encoded = [self.encode(prompt) for prompt in prompts]
        fitting = [number for number, ids in enumerate(encoded) if self._problem(ids) is None]
        generated = generate(
            self.model,
            [encoded[number] for number in fitting],
            sampling,
            self.tokenizer.eos_id,
            self._stop_finder(sampling.stop) if sampling.stop else None,
            self.rows,
            self.tokenizer.vocab_size,
        )
        completions = [
            [Completion("", finish_reason="error", error=self._problem(ids)) for _ in range(sampling.n)] for ids in encoded
        ]
        for number, samples in zip(fitting, generated, strict=True):
            completions[number] = [self._completion(prompts[number], encoded[number], g, sampling) for g in samples]
        return completions

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """`complete`'s first completion of one prompt, in pieces as they are sampled; joined, they are its text.

        Raises PaddockError where the prompt leaves no room in the context.
        """
        ids = self.encode(prompt)
        if (problem := self._problem(ids)) is not None:
            raise PaddockError(problem)
        sampled: list[int] = []
        shown = 0
        finished = self._stop_finder(sampling.stop)
        for token in stream(self.model, ids, sampling, self.tokenizer.eos_id, self.tokenizer.vocab_size):
            sampled.append(token)
            ends = finished(sampled)
            text = self._text(prompt, ids, sampled, sampling)
            if ends:
                break
            safe = _sure_length(text, sampling.stop)
            if safe > shown:
                yield text[shown:safe]
                shown = safe
        if text[shown:]:
            yield text[shown:]

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of each token of each continuation, at temperature 1.

        The continuation of a Dialog is a whole answer, its end token included. Where a plain prompt's last characters and
        the continuation's first make one token, as after a final space, that token is the continuation's. Raises
        PaddockError where prompt and continuation exceed the context.
        """
        sequences = []
        for number, (prompt, continuation) in enumerate(zip(prompts, continuations, strict=True)):
            if isinstance(prompt, Dialog):
                ids = encode_dialog(self.tokenizer, prompt.with_reply(continuation)).ids
            else:
                ids = self.tokenizer.encode(prompt + continuation, bos=True)
            first = shared_length(self.encode(prompt), ids)
            if len(ids) > self.model.config.context_length:
                context = self.model.config.context_length
                raise PaddockError(f"prompt {number} and its continuation are {len(ids)} tokens; the context is {context}")
            sequences.append((ids, first))
        return log_probs_of(self.model, sequences)

    def encode(self, prompt: Prompt) -> list[int]:
        """The ids that the model reads: a dialog in the chat format, a plain text with BOS before it."""
        if isinstance(prompt, Dialog):
            return encode_prompt(self.tokenizer, prompt)
        return self.tokenizer.encode(prompt, bos=True)

    def _problem(self, ids: list[int]) -> str | None:
        context = self.model.config.context_length
        if len(ids) < context:
            return None
        return f"the prompt has {len(ids)} tokens, and the model's context of {context} leaves no room for an answer"

    def _completion(self, prompt: Prompt, prompt_ids: list[int], generated: Generated, sampling: Sampling) -> Completion:
        text = self._text(prompt, prompt_ids, list(generated.token_ids), sampling)
        return Completion(text, generated.token_ids, generated.log_probs, generated.finish_reason)

    def _text(self, prompt: Prompt, prompt_ids: list[int], sampled: list[int], sampling: Sampling) -> str:
        """The text of sampled ids up to a stop string: an answer is stripped, a continuation joins on to its prompt."""
        if isinstance(prompt, Dialog):
            return sampling.cut(self.tokenizer.decode(sampled)).strip()
        start = len(self.tokenizer.decode(prompt_ids))
        return sampling.cut(self.tokenizer.decode(prompt_ids + sampled)[start:])

    def _stop_finder(self, stop: tuple[str, ...]) -> Callable[[list[int]], bool]:
        """Whether ids end in a stop string. Every id but BOS and EOS is at least a byte, so the last few ids tell."""
        tail = max((len(text.encode()) for text in stop), default=0) + 4
        return lambda ids: any(text in self.tokenizer.decode(ids[-tail:]) for text in stop)


def _sure_length(text: str, stop: tuple[str, ...]) -> int:
    """How much of a growing text will stay: not a stop string begun, half a character or white space at its end."""
    begun = max((size for word in stop for size in range(len(word)) if text.endswith(word[:size])), default=0)
    return len(text[: len(text) - begun].rstrip("\ufffd").rstrip())
