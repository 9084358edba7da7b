"""How fast is a reward model trained? Side by side with TRL's RewardTrainer, in one run.

    python speed/reward.py [--repeats 5]        # float32 and bfloat16; needs trl 1.12.0

Both start from the same chat model and learn the same pairs, 64 a step: replies of 16 to 240 tokens after prompts of 32. The
peer runs as it comes, and with rows of like length side by side (`group_by_length`); with `--equal` all replies have 128
tokens. Each way is a process of its own with the same number of threads; turns take turns, and the figure is the median of
pairs a second. Peak memory is the process's, imports included.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from workers import Worker, peak_mb, serve, take_turns

SHAPE = {"vocab_size": 4096, "dim": 256, "n_layers": 6, "n_heads": 8, "n_kv_heads": 4, "ffn_dim": 688}
PAIRS_A_STEP, STEPS_A_TURN, PROMPT_TOKENS, SHORTEST, LONGEST, CONTEXT = 64, 6, 32, 16, 240, 1024
WAYS = {"paddock": "Paddock", "random": "RewardTrainer", "group_by_length": "RewardTrainer, like lengths together"}


def pairs(equal: bool, count: int = 64 * PAIRS_A_STEP) -> list[tuple[list[int], list[int]]]:
    """Random ids, the same for all."""
    draw = random.Random(0)

    def ids(length: int) -> list[int]:
        return [draw.randrange(3, SHAPE["vocab_size"]) for _ in range(length)]

    def reply() -> list[int]:
        return ids(128 if equal else draw.randint(SHORTEST, LONGEST))

    rows = []
    for _ in range(count):
        prompt = ids(PROMPT_TOKENS)
        rows.append(([*prompt, *reply()], [*prompt, *reply()]))
    return rows


class Paddock:
    """The stage's own batches, loss and optimizer step."""

    def __init__(self, folder: Path, precision: str, equal: bool) -> None:
        from paddock.model.checkpoint import reward_model_from
        from paddock.stages.reward import RewardSettings, preference_loss
        from paddock.text.pairs import EncodedPair, PackedPairs, PairStore
        from paddock.train.loop import prepare
        from paddock.train.parallel import Ranks, build

        settings = RewardSettings(data=["none"], model=str(folder / "chat"), precision=precision, compile="off")
        labels = (-1, 0, -1, -1, 1, PROMPT_TOKENS)
        encoded = (EncodedPair(chosen, rejected, labels, "") for chosen, rejected in pairs(equal))
        PairStore.write(folder / "pairs", encoded, SHAPE["vocab_size"])
        self.batches = PackedPairs(PairStore.open(folder / "pairs"), PAIRS_A_STEP, CONTEXT, seed=0)
        ranks = Ranks(0, 1, torch.device("cpu"))
        model = build(reward_model_from(settings.model, 0), settings, ranks)
        self.setup, self.loss, self.step = prepare(model, settings, ranks, 1), preference_loss("none", 0.0), 0

    def turn(self, steps: int) -> float:
        """Seconds of so many steps."""
        from paddock.train.loop import accumulate
        from paddock.train.optim import gradient_norm, optimizer_step

        began = time.perf_counter()
        for _ in range(steps):
            _, count = accumulate(self.setup, self.batches.batch(self.step), self.loss, None)
            assert count == PAIRS_A_STEP
            norm = gradient_norm(self.setup.model.parameters())
            optimizer_step(self.setup.optimizer, norm, count, 1e-5, 1.0)
            self.step = (self.step + 1) % self.batches.steps_per_epoch
        return time.perf_counter() - began


class Trl:
    """RewardTrainer; a turn is a call of `train`, timed from the end of its first step to the end of its last."""

    def __init__(self, folder: Path, precision: str, equal: bool, sampling: str) -> None:
        from datasets import Dataset
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder / "chat")
        self.tokenizer.pad_token_id = 0
        rows = [{"chosen_ids": c, "rejected_ids": r, "length": max(len(c), len(r))} for c, r in pairs(equal)]
        self.data = Dataset.from_list(rows)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder / "chat", num_labels=1, dtype=torch.float32)
        self.model.config.pad_token_id = 0
        self.bf16, self.sampling = precision == "bf16", sampling

    def turn(self, steps: int) -> float:
        """Seconds of so many steps, after one that is not counted."""
        import transformers
        from trl import RewardConfig, RewardTrainer

        times: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *_: object, **__: object) -> None:
                times.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            arguments = RewardConfig(
                output_dir=folder,
                max_steps=steps + 1,
                per_device_train_batch_size=PAIRS_A_STEP,
                train_sampling_strategy=self.sampling,
                length_column_name="length",
                remove_unused_columns=False,
                gradient_checkpointing=False,
                max_length=CONTEXT,
                learning_rate=1e-5,
                bf16=self.bf16,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            RewardTrainer(
                model=self.model,
                args=arguments,
                processing_class=self.tokenizer,
                train_dataset=self.data,
                callbacks=[Clock()],
            ).train()
        assert len(times) == steps + 1
        return times[-1] - times[0]


def contend(way: str, folder: Path, precision: str, equal: bool) -> tuple[str, Callable[[str], list[float]]]:
    """Warm one way up; the function answers with pairs a second and the peak of memory."""
    contender = Paddock(folder, precision, equal) if way == "paddock" else Trl(folder, precision, equal, way)
    contender.turn(1)
    return "ready", lambda _: [STEPS_A_TURN * PAIRS_A_STEP / contender.turn(STEPS_A_TURN), peak_mb()]


def compare(folder: Path, precision: str, arguments: argparse.Namespace) -> None:
    """All ways at one precision, their turns interleaved; prints a Markdown table."""
    ways = [way for way in WAYS if not (arguments.equal and way == "group_by_length")]
    shared = ["--folder", str(folder), "--precisions", precision, "--threads", str(arguments.threads)]
    shared += ["--equal"] if arguments.equal else []
    workers = {way: Worker(["--way", way, *shared], arguments.threads) for way in ways}
    turns = take_turns(workers, ["go"] * arguments.repeats)
    for worker in workers.values():
        worker.close()
    speeds = {way: statistics.median(speed for speed, _ in turns[way]) for way in ways}
    print(f"\n{precision}\n\n| | pairs a second | Paddock against it | peak MB |\n|---|---|---|---|")
    for way in ways:
        print(f"| {WAYS[way]} | {speeds[way]:.1f} | {speeds['paddock'] / speeds[way]:.2f} | {turns[way][-1][1]:,.0f} |")


def main() -> None:
    """Compare at every precision asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--equal", action="store_true", help="replies of one length")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        (precision,) = arguments.precisions
        serve(arguments.threads, lambda: contend(arguments.way, arguments.folder, precision, arguments.equal))
        return
    import transformers
    import trl

    from paddock.model.checkpoint import save_model
    from paddock.model.config import ModelConfig
    from paddock.model.transformer import Transformer
    from paddock.text.tokenizer import train_tokenizer

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}"
    print(f"{torch.cpu.get_capabilities()['cpu_name']}, {arguments.threads} threads, {versions}")
    print(f"{PAIRS_A_STEP} pairs a step; {', '.join(f'{name} {value}' for name, value in SHAPE.items())}")
    tokenizer = train_tokenizer(
        [f"{number} apples and {number * 7} boats, quite a few letters" for number in range(100)], 290
    )
    for precision in arguments.precisions:
        with tempfile.TemporaryDirectory() as folder:
            torch.manual_seed(0)
            save_model(Transformer(ModelConfig(**SHAPE, context_length=CONTEXT)), Path(folder) / "chat", tokenizer)
            compare(Path(folder), precision, arguments)


if __name__ == "__main__":
    main()
