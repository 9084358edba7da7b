"""How fast is training? Side by side with transformers, in one run: its bare loop, that loop compiled, its Trainer.

    python speed/train.py                       # all shapes, float32 and bfloat16: about 20 minutes on two cores
    python speed/train.py --shapes miniature --precisions bf16 --repeats 3

Every contender is a process of its own with the same number of threads. It warms up, waits, and runs its steps when its turn
comes, the turns interleaved, so that a busy machine slows all alike; the figure is the median over turns. Tokens are real
ones: padding counts for nothing. With unequal lengths Paddock packs dialogs into rows, and the peer pads each batch to its
longest dialog. Peak memory is the process's, imports (and the compiler, where it compiled) included. What bounds a step is
read off a profile of Paddock's eager step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from workers import Worker, peak_mb, serve, take_turns

from paddock.model.config import PRESETS, ModelConfig

SHAPES = {
    "small": ModelConfig(4096, 256, 6, 8, 4, 688, context_length=256),
    "miniature": PRESETS["miniature"],
}
ROWS, CONTEXT = 16, 256
CONTENDERS = ("paddock", "paddock compiled", "transformers", "transformers compiled", "transformers Trainer")
DIALOGS = 4096
GROUPS = {
    "matmuls": ("mm", "addmm", "bmm", "_linear_pointwise", "mkldnn"),
    "attention": ("attention",),
    "optimizer": ("adam", "foreach"),
}


def dialog_lengths() -> np.ndarray:
    """Lengths as dialogs have them: log-normal, median 60 tokens, at most a row."""
    return np.random.default_rng(0).lognormal(4.1, 0.7, DIALOGS).astype(int).clip(4, CONTEXT)


class Paddock:
    """The loop's own step, on rows of documents, or on packed dialogs."""

    def __init__(self, config: ModelConfig, precision: str, lengths: str, compiled: bool) -> None:
        from paddock.model.transformer import Transformer
        from paddock.text.chat_format import Encoded
        from paddock.text.packing import DocumentWindows, PackedDialogs, TokenStore
        from paddock.train import loop
        from paddock.train.parallel import Ranks
        from paddock.train.settings import TrainingSettings

        random, folder = np.random.default_rng(0), Path(tempfile.mkdtemp())
        ids = [random.integers(3, config.vocab_size, length) for length in dialog_lengths()]
        masks = [[False] * (len(i) // 2) + [True] * (len(i) - len(i) // 2) for i in ids] if lengths == "unequal" else None
        TokenStore.write(folder, (Encoded(i, masks and masks[n]) for n, i in enumerate(ids)), config.vocab_size)
        store = TokenStore.open(folder)
        self.batches = (
            PackedDialogs(store, ROWS, CONTEXT, 0) if lengths == "unequal" else DocumentWindows(store, ROWS, CONTEXT, 0)
        )
        self.loop, self.steps = loop, 0
        self.settings = TrainingSettings(
            batch_size=ROWS, learning_rate=1e-3, precision=precision, compile="on" if compiled else "off"
        )
        torch.manual_seed(0)
        self.setup = loop.prepare(Transformer(config), self.settings, Ranks(0, 1, torch.device("cpu")), 0)
        self.progress = loop.Progress()

    def step(self) -> int:
        """Train one step; return its real tokens."""
        step = self.progress.step
        self.loop.train_step(self.setup, self.batches, self.settings, self.loop.next_token_loss, 10_000, self.progress)
        batch = self.batches.batch(step)
        segments = batch.segment_ids
        return int(batch.loss_mask.sum() if segments is None else np.count_nonzero(segments))


class Transformers:
    """The usual loop around LlamaForCausalLM: autocast, backward, clip, fused AdamW."""

    def __init__(self, config: ModelConfig, precision: str, lengths: str, compiled: bool) -> None:
        self.model, self.precision, self.lengths = llama(config), precision, lengths
        self.vocab_size = config.vocab_size
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.random, self.all_lengths = np.random.default_rng(0), dialog_lengths()

    def step(self) -> int:
        """Train one step; return its real tokens."""
        batch = peer_batch(self.random, self.all_lengths if self.lengths == "unequal" else None, self.vocab_size)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        assert loss.isfinite()
        return int(batch["attention_mask"].sum()) if self.lengths == "unequal" else batch["input_ids"].numel()


class Trainer:
    """transformers' Trainer; a turn is a call of `train`, timed between its first and its last step."""

    def __init__(self, config: ModelConfig, precision: str, lengths: str, compiled: bool) -> None:
        self.model, self.precision, self.vocab_size = llama(config), precision, config.vocab_size
        self.random, self.lengths = np.random.default_rng(0), dialog_lengths() if lengths == "unequal" else None

    def turn(self, steps: int) -> tuple[int, float]:
        """Train `steps` steps; return their real tokens and seconds."""
        import transformers

        batches = [peer_batch(self.random, self.lengths, self.vocab_size) for _ in range(steps + 1)]
        times: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *_: object, **__: object) -> None:
                times.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            arguments = transformers.TrainingArguments(
                folder,
                max_steps=steps + 1,
                per_device_train_batch_size=1,
                learning_rate=1e-3,
                weight_decay=0.1,
                bf16=self.precision == "bf16",
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
            )
            transformers.Trainer(
                self.model, arguments, train_dataset=batches, data_collator=lambda rows: rows[0], callbacks=[Clock()]
            ).train()
        counted = batches[1:]
        tokens = sum(int(b["attention_mask"].sum()) if self.lengths is not None else b["input_ids"].numel() for b in counted)
        return tokens, times[-1] - times[0]


def llama(config: ModelConfig) -> torch.nn.Module:
    """transformers' network of the same shape, with its defaults."""
    import transformers

    from paddock.model.checkpoint import describe

    fields = {k: v for k, v in describe(config, torch.float32).items() if k not in {"architectures", "torch_dtype"}}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**fields, "use_cache": False}))


def peer_batch(random: np.random.Generator, lengths: np.ndarray | None, vocab_size: int) -> dict[str, torch.Tensor]:
    """Rows as a collator gives them: full, or dialogs padded to the longest, the first half of each a prompt."""
    if lengths is None:
        ids = torch.from_numpy(random.integers(3, vocab_size, (ROWS, CONTEXT)))
        return {"input_ids": ids, "labels": ids}
    chosen = random.choice(lengths, ROWS)
    places = torch.arange(int(chosen.max()))
    real = places < torch.from_numpy(chosen)[:, None]
    ids = torch.from_numpy(random.integers(3, vocab_size, tuple(real.shape))) * real
    labels = ids.masked_fill(~real | (places < torch.from_numpy(chosen // 2)[:, None]), -100)
    return {"input_ids": ids, "labels": labels, "attention_mask": real.long()}


def contend(name: str, shape: str, precision: str, lengths: str, steps: int) -> tuple[float, Callable[[str], dict]]:
    """Warm one contender up, and say the seconds; the function answers with the tokens and seconds of a turn."""
    kinds: dict[str, Callable[..., Paddock | Transformers | Trainer]]
    kinds = {"paddock": Paddock, "transformers": Transformers, "transformers Trainer": Trainer}
    contender = kinds[name.removesuffix(" compiled")](SHAPES[shape], precision, lengths, name.endswith("compiled"))

    def turn(count: int) -> tuple[int, float]:
        if isinstance(contender, Trainer):
            return contender.turn(count)
        began = time.perf_counter()
        return sum(contender.step() for _ in range(count)), time.perf_counter() - began

    def reply(word: str) -> dict:
        if word == "profile":
            return profile(contender.step)
        tokens, seconds = turn(steps)
        return {"tokens": tokens, "seconds": seconds, "peak_mb": peak_mb()}

    began = time.perf_counter()
    # A compiled network of unequal lengths is compiled again as lengths come; the peer gets time for that.
    turn(3 if lengths == "equal" else 20)
    return time.perf_counter() - began, reply


def profile(step: Callable[[], int]) -> dict[str, float]:
    """The share of a step's time in each group of operations."""
    with torch.profiler.profile() as found:
        for _ in range(3):
            step()
    shares = dict.fromkeys((*GROUPS, "the rest"), 0.0)
    for event in found.key_averages():
        group = next((g for g, words in GROUPS.items() if any(w in event.key for w in words)), "the rest")
        # Attention by matmuls shows as its matmuls and softmax: they are bmm and softmax, which nothing else here uses.
        group = "attention" if event.key in {"aten::bmm", "aten::_softmax", "aten::_softmax_backward_data"} else group
        shares[group] += event.self_cpu_time_total
    total = sum(shares.values())
    return {group: share / total for group, share in shares.items()}


def compare(shape: str, precision: str, lengths: str, arguments: argparse.Namespace) -> list[dict]:
    """All contenders at one shape, their turns interleaved."""
    shared = ["--shapes", shape, "--precisions", precision, "--lengths", lengths]
    shared += ["--threads", str(arguments.threads), "--steps", str(arguments.steps)]
    workers = {name: Worker(["--contender", name, *shared], arguments.threads) for name in CONTENDERS}
    turns = take_turns(workers, ["go"] * arguments.repeats)
    shares = workers["paddock"].ask("profile")
    for worker in workers.values():
        worker.close()
    print(f"profile of {shape}, {precision}, {lengths}: {shares}", file=sys.stderr)
    return [
        {
            "name": name,
            "speed": statistics.median(turn["tokens"] / turn["seconds"] for turn in turns[name]),
            "peak_mb": turns[name][-1]["peak_mb"],
            "warm_up": workers[name].first,
            "bound": ", ".join(f"{group} {share:.0%}" for group, share in shares.items()) if name == "paddock" else "",
        }
        for name in CONTENDERS
    ]


def show(rows: list[dict], title: str) -> None:
    """A Markdown table; ratios are to transformers' bare loop as it comes, and compiled."""
    speeds = {row["name"]: row["speed"] for row in rows}
    columns = ("", "tokens/s", "against transformers", "against it compiled", "peak MB", "warm-up s")
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for row in rows:
        ratios = (row["speed"] / speeds[peer] for peer in ("transformers", "transformers compiled"))
        against = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {row['name']} | {row['speed']:,.0f} | {against} | {row['peak_mb']:,.0f} | {row['warm_up']:.0f} |")
    print(f"\nWhere Paddock's eager step goes: {rows[0]['bound']}.", flush=True)


def main() -> None:
    """Compare at every shape asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--lengths", nargs="+", default=["equal", "unequal"], choices=["equal", "unequal"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contender")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        (shape,), (precision,), (lengths,) = arguments.shapes, arguments.precisions, arguments.lengths
        serve(arguments.threads, lambda: contend(arguments.contender, shape, precision, lengths, arguments.steps))
        return
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{torch.cpu.get_capabilities()['cpu_name']}, {arguments.threads} threads, {versions}")
    for shape in arguments.shapes:
        for precision in arguments.precisions:
            for lengths in arguments.lengths:
                described = ", ".join(f"{name} {value}" for name, value in list(asdict(SHAPES[shape]).items())[:6])
                kind = f"{ROWS} x {CONTEXT} tokens" if lengths == "equal" else "dialogs of unequal lengths"
                rows = compare(shape, precision, lengths, arguments)
                show(rows, f"{shape} ({described}), {precision}, {kind}")


if __name__ == "__main__":
    main()
