"""Sampling beside transformers' `generate`: the same weights, prompts, dtype and threads, in one run.

    python speed/generate.py [--threads 2] [--repeats 5] [--compiled]

Each way runs in a process of its own, so that its peak memory is its own; repeats take turns, and medians are compared. Both
sample the whole distribution at temperature 1 and make as many tokens. `generate` runs with its default cache, with a static
one, and with `--compiled` with a static one and a compiled forward (compiled in its first call). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from workers import Worker, peak_mb, serve, take_turns

from paddock.model.checkpoint import load_model, save_model
from paddock.model.config import ModelConfig, preset
from paddock.model.generation import generate
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling

SHAPES = {
    "dim 256, 6 layers, 8/4 heads, vocabulary 4,096": ModelConfig(4096, 256, 6, 8, 4, 688, context_length=512),
    "miniature": preset("miniature"),
}
NEW_TOKENS = 128
PROMPT_TOKENS = 64
WAYS = {"paddock": "Paddock", "default": "generate", "static": "generate, static cache", "compiled": "generate, compiled"}
BOUND = {
    1: "bound by reading the weights once a token, then by the calls of some 20 operations a layer",
    64: "bound by reading the cache of keys and values (some 60% of a block), then by matmuls of 64 rows",
}


@dataclass(frozen=True)
class Case:
    """What is sampled: a batch of prompts of equal or unequal length."""

    shape: str
    batch: int
    unequal: bool

    def prompts(self) -> list[list[int]]:
        """Random ids; unequal prompts have half to one and a half times the length."""
        generator = torch.Generator().manual_seed(0)
        shortest, longest = (PROMPT_TOKENS // 2, PROMPT_TOKENS * 3 // 2) if self.unequal else (PROMPT_TOKENS, PROMPT_TOKENS)
        lengths = torch.linspace(shortest, longest, self.batch).int().tolist()
        vocabulary = SHAPES[self.shape].vocab_size
        return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]


def paddock_sampler(folder: str, prompts: list[list[int]]) -> Callable[[int], None]:
    """One repeat of ours."""
    model = load_model(folder)
    return lambda seed: check(
        [c.token_ids for (c,) in generate(model, prompts, Sampling(max_new_tokens=NEW_TOKENS, seed=seed))], prompts
    )


def transformers_sampler(folder: str, prompts: list[list[int]], way: str) -> Callable[[int], None]:
    """One repeat of theirs: prompts padded on the left, and an attention mask."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(folder)
    if way == "compiled":
        model.forward = torch.compile(model.forward)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=NEW_TOKENS, pad_token_id=0, eos_token_id=None
    )
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    cache = {} if way == "default" else {"cache_implementation": "static"}

    def sample(seed: int) -> None:
        torch.manual_seed(seed)
        check(model.generate(ids, attention_mask=mask, **cache)[:, longest:].tolist(), prompts)

    return sample


def check(completions: list[list[int]] | list[tuple[int, ...]], prompts: list[list[int]]) -> None:
    """Nobody wins by doing less."""
    assert [len(completion) for completion in completions] == [NEW_TOKENS] * len(prompts)


def contend(way: str, folder: str, prompts_file: str) -> tuple[list[float], Callable[[str], list[float]]]:
    """Warm one way up, which also compiles; the function answers a seed with the seconds and the peak memory of a repeat."""
    prompts = json.loads(Path(prompts_file).read_text())
    sample = paddock_sampler(folder, prompts) if way == "paddock" else transformers_sampler(folder, prompts, way)

    def reply(seed: str) -> list[float]:
        start = time.perf_counter()
        sample(int(seed))
        return [time.perf_counter() - start, peak_mb()]

    return reply("0"), reply


def measure(case: Case, ways: list[str], threads: int, repeats: int) -> list[str]:
    """Rows of the table for one case."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_model(Transformer(SHAPES[case.shape]), Path(folder) / "model")
        prompts_file = Path(folder) / "prompts.json"
        prompts_file.write_text(json.dumps(case.prompts()))
        shared = [str(Path(folder) / "model"), str(prompts_file), "--threads", str(threads)]
        workers = {way: Worker(["--work", way, *shared], threads) for way in ways}
        turns = take_turns(workers, map(str, range(1, repeats + 1)))
        for worker in workers.values():
            worker.close()
    tokens = case.batch * NEW_TOKENS
    speeds = {way: tokens / statistics.median(seconds for seconds, _ in turns[way]) for way in ways}
    rows = []
    for way, worker in workers.items():
        ratio = f"{speeds['paddock'] / speeds[way]:.2f}" if way != "paddock" else ""
        first = f"{worker.first[0]:.1f}"
        rows.append(
            f"| {case.shape} | {case.batch} | {'unequal' if case.unequal else 'equal'} | {WAYS[way]} | {speeds[way]:,.0f} "
            f"| {ratio} | {turns[way][-1][1]:,.0f} | {first} |"
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="add generate with a compiled forward (minutes)")
    parser.add_argument("--work", nargs=3, metavar=("WAY", "FOLDER", "PROMPTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        serve(arguments.threads, lambda: contend(*arguments.work))
        return
    ways = ["paddock", "default", "static"] + ["compiled"] * arguments.compiled
    print(
        f"{NEW_TOKENS} new tokens after prompts of {PROMPT_TOKENS} (unequal: half to one and a half times that), float32, "
        f"{arguments.threads} threads, median of {arguments.repeats}, torch {torch.__version__}, {platform.processor()}\n"
    )
    print("| shape | batch | prompts | sampler | tokens/s | Paddock's ratio | peak MB | first call, s |")
    print("|---|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for case in (Case(shape, 1, False), Case(shape, 64, False), Case(shape, 64, True)):
            for row in measure(case, ways, arguments.threads, arguments.repeats):
                print(row, flush=True)
    for batch, words in BOUND.items():
        print(f"\nBatch {batch}: {words}.")


if __name__ == "__main__":
    main()
