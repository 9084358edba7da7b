"""How long is an iteration of PPO? Side by side with TRL's PPOTrainer, in one run.

    python speed/ppo.py                         # float32 and bfloat16, about 10 minutes on two cores; needs trl 1.12.0

trl 1.12.0 is the last release that has PPO (`trl.experimental.ppo`). Both start from the same weights of policy, reward and
value model, and sample a reply of 128 tokens to each of 64 prompts of 64 tokens; no reply ends early, so that both do the
same work. One pass over the replies in mini-batches of 16, a step each; temperature 1; no gradient checkpointing. Each is a
process of its own with the same number of threads; turns of a few iterations take turns, and the figure is the median. Peak
memory is the process's, imports included. Where Paddock's time goes is read off its own metrics.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch
from workers import Worker, peak_mb, serve, take_turns

SHAPE = {"vocab_size": 4096, "dim": 256, "n_layers": 6, "n_heads": 8, "n_kv_heads": 4, "ffn_dim": 688}
PROMPTS, PROMPT_TOKENS, NEW_TOKENS, MINI_BATCH, CONTEXT = 64, 64, 128, 16, 256
CONTENDERS = ("paddock", "trl")
PHASES = ("sampling", "scoring", "evaluating", "optimising")
SETTINGS = {
    "batch_size": PROMPTS,
    "mini_batch_size": MINI_BATCH,
    "max_new_tokens": NEW_TOKENS,
    "learning_rate": 1e-6,
    "value_learning_rate": 1e-6,
    "value_warmup": 0,
    "keep": "last",
    "patience": None,
    "validation_share": 0.0,
}


def prompt_ids() -> list[tuple[int, ...]]:
    """Random ids, the same for both; more prompts than an iteration takes."""
    draw = random.Random(0)
    return [tuple(draw.randrange(3, SHAPE["vocab_size"]) for _ in range(PROMPT_TOKENS)) for _ in range(4 * PROMPTS)]


def write_models(folder: Path) -> None:
    """A policy and a reward model with random weights; the tokenizer only has to be there."""
    from paddock.model.checkpoint import reward_model_from, save_model, save_reward_model
    from paddock.model.config import ModelConfig
    from paddock.model.transformer import Transformer
    from paddock.text.tokenizer import train_tokenizer

    texts = [f"{number} apples and {number * 7} boats, quite a few letters" for number in range(100)]
    tokenizer = train_tokenizer(texts, 290)
    torch.manual_seed(0)
    save_model(Transformer(ModelConfig(**SHAPE, context_length=CONTEXT)), folder / "policy", tokenizer)
    save_reward_model(reward_model_from(folder / "policy", 0).build(), folder / "reward", tokenizer)
    (folder / "prompts.jsonl").write_text(json.dumps({"prompt": texts[0]}) + "\n")


class Paddock:
    """The stage's own iteration."""

    def __init__(self, folder: Path, precision: str) -> None:
        from paddock.stages import ppo
        from paddock.stages.ppo_settings import PpoSettings
        from paddock.stages.prompts import PromptData, Prompts
        from paddock.text.dialog import Dialog, Message
        from paddock.train.parallel import Ranks

        models = {"model": str(folder / "policy"), "helpfulness_reward": str(folder / "reward")}
        settings = PpoSettings(data=[str(folder / "prompts.jsonl")], **models, **SETTINGS, precision=precision)
        bench = ppo.set_up(settings, Ranks(0, 1, torch.device("cpu")))
        ids = prompt_ids()
        prompts = Prompts([Dialog((Message("user", ""),))] * len(ids), ids, [False] * len(ids))
        never_ends = SimpleNamespace(eos_id=-1, vocab_size=SHAPE["vocab_size"])
        self.bench = replace(bench, prompts=PromptData(prompts, prompts.take([]), 0, 0), tokenizer=never_ends)
        self.iterate, self.iteration = ppo.iterate, 0
        self.phases = dict.fromkeys(PHASES, 0.0)

    def turn(self, iterations: int) -> float:
        """Seconds of so many iterations."""
        began = time.perf_counter()
        for _ in range(iterations):
            row = self.iterate(self.bench, self.iteration)
            assert row["tokens"] == PROMPTS * NEW_TOKENS, "nobody wins by doing less"
            self.iteration += 1
            self.phases = {phase: self.phases[phase] + row[f"seconds_{phase}"] for phase in PHASES}
        return time.perf_counter() - began

    def profile(self) -> dict[str, float]:
        """The share of each phase in all iterations."""
        return {phase: seconds / sum(self.phases.values()) for phase, seconds in self.phases.items()}


class Trl:
    """PPOTrainer; a turn is a call of `train`, timed from the end of its first iteration to the end of its last."""

    def __init__(self, folder: Path, precision: str) -> None:
        from datasets import Dataset
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
        from trl.experimental.ppo import PPOConfig, PPOTrainer

        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
        self.tokenizer.pad_token_id = 0
        self.data = Dataset.from_list([{"input_ids": list(ids)} for ids in prompt_ids()])
        self.policy, self.reference = (AutoModelForCausalLM.from_pretrained(folder / "policy") for _ in range(2))
        self.reward, self.value = (
            AutoModelForSequenceClassification.from_pretrained(folder / "reward", num_labels=1) for _ in range(2)
        )
        self.config, self.trainer, self.bf16 = PPOConfig, PPOTrainer, precision == "bf16"

    def turn(self, iterations: int) -> float:
        """Seconds of so many iterations, after one that is not counted."""
        import transformers

        times: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *_: object, **__: object) -> None:
                times.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            arguments = self.config(
                output_dir=folder,
                total_episodes=(iterations + 1) * PROMPTS,
                per_device_train_batch_size=PROMPTS,
                gradient_accumulation_steps=1,
                num_mini_batches=PROMPTS // MINI_BATCH,
                num_ppo_epochs=1,
                response_length=NEW_TOKENS,
                temperature=1.0,
                kl_coef=0.01,
                learning_rate=1e-6,
                gradient_checkpointing=False,
                num_sample_generations=0,
                bf16=self.bf16,
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
            )
            models = {"model": self.policy, "ref_model": self.reference, "reward_model": self.reward}
            self.trainer(
                args=arguments,
                processing_class=self.tokenizer,
                **models,
                value_model=self.value,
                train_dataset=self.data,
                eval_dataset=self.data,
                callbacks=[Clock()],
            ).train()
        assert len(times) == iterations + 1
        return times[-1] - times[0]


def contend(name: str, folder: Path, precision: str, iterations: int) -> tuple[str, Callable[[str], dict[str, float]]]:
    """Warm one contender up; the function answers with the seconds of an iteration, or with where the time went."""
    contender = (Paddock if name == "paddock" else Trl)(folder, precision)
    contender.turn(1)

    def reply(word: str) -> dict[str, float]:
        if word == "profile":
            return contender.profile()
        return {"seconds": contender.turn(iterations) / iterations, "peak_mb": peak_mb()}

    return "ready", reply


def compare(folder: Path, precision: str, arguments: argparse.Namespace) -> None:
    """Both contenders at one precision, their turns interleaved; prints a Markdown table."""
    shared = ["--folder", str(folder), "--precisions", precision, "--threads", str(arguments.threads)]
    shared += ["--iterations", str(arguments.iterations)]
    workers = {name: Worker(["--contender", name, *shared], arguments.threads) for name in CONTENDERS}
    turns = take_turns(workers, ["go"] * arguments.repeats)
    shares = workers["paddock"].ask("profile")
    for worker in workers.values():
        worker.close()
    seconds = {name: statistics.median(turn["seconds"] for turn in turns[name]) for name in CONTENDERS}
    print(f"\n{precision}\n\n| | seconds an iteration | against TRL | peak MB |\n|---|---|---|---|")
    for name in CONTENDERS:
        ratio = seconds["trl"] / seconds[name]
        print(f"| {name} | {seconds[name]:.2f} | {ratio:.2f} | {turns[name][-1]['peak_mb']:,.0f} |")
    print(f"\nWhere Paddock's iteration goes: {', '.join(f'{phase} {share:.0%}' for phase, share in shares.items())}.")


def main() -> None:
    """Compare at every precision asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=2, help="of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contender")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        (precision,) = arguments.precisions
        serve(arguments.threads, lambda: contend(arguments.contender, arguments.folder, precision, arguments.iterations))
        return
    import transformers
    import trl

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}"
    print(f"{torch.cpu.get_capabilities()['cpu_name']}, {arguments.threads} threads, {versions}")
    described = ", ".join(f"{name} {value}" for name, value in SHAPE.items())
    print(f"{PROMPTS} prompts of {PROMPT_TOKENS} tokens, replies of {NEW_TOKENS}, mini-batches of {MINI_BATCH}; {described}")
    for precision in arguments.precisions:
        with tempfile.TemporaryDirectory() as folder:
            write_models(Path(folder))
            compare(Path(folder), precision, arguments)


if __name__ == "__main__":
    main()
