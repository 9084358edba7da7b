"""The prompts that a policy answers while it learns, and those held out to judge it by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from paddock.errors import DataError
from paddock.stages.encoding import CorpusSettings, Rows, dialog_rows
from paddock.stages.rewards import is_tagged
from paddock.text.chat_format import Encoded, encode_prompt
from paddock.text.dialog import Dialog
from paddock.text.packing import TokenStore, epoch_order
from paddock.text.readers import ReadReport, read_prompts
from paddock.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prompts:
    """Prompts, their ids, and which of them are tagged as able to draw out unsafe answers (the paper's IS_SAFETY)."""

    dialogs: Sequence[Dialog]
    ids: Sequence[tuple[int, ...]]
    is_safety: Sequence[bool]

    def __len__(self) -> int:
        return len(self.dialogs)

    def take(self, places: Iterable[int]) -> Prompts:
        """The prompts at `places`, in that order."""
        chosen = list(places)
        dialogs, ids = [self.dialogs[place] for place in chosen], [self.ids[place] for place in chosen]
        return Prompts(dialogs, ids, [self.is_safety[place] for place in chosen])

    def of_iteration(self, iteration: int, count: int, seed: int) -> Prompts:
        """The `count` prompts of an iteration (from 0): all prompts in one seeded order, then in the next, and so on.

        A pure function of its arguments, so a run resumes by its iteration's number.
        """
        orders: dict[int, Sequence[int]] = {}
        places = []
        for position in range(iteration * count, (iteration + 1) * count):
            epoch, place = divmod(position, len(self))
            if epoch not in orders:
                orders[epoch] = epoch_order(len(self), seed, epoch).tolist()
            places.append(orders[epoch][place])
        return self.take(places)


@dataclass(frozen=True)
class PromptData:
    """The prompts to learn from, and those held out.

    `left_out` prompts leave no room for a reply; `held_out_elsewhere` are not learnt from, for the validation files hold
    prompts that begin alike.
    """

    train: Prompts
    held_out: Prompts
    left_out: int
    held_out_elsewhere: int


def load_prompts(settings: CorpusSettings, tokenizer: Tokenizer, longest: int) -> PromptData:
    """Read, split by a hash of each prompt's opening, and encode; prompts over `longest` ids are left out and counted.

    Raises DataError for a bad row (by setting), and where no prompt is left to learn from.
    """
    rows, report = prompt_rows(settings, tokenizer), ReadReport()
    found = {}
    left_out = 0
    for name, dialogs in (("train", list(rows.learnt_from(report))), ("held_out", list(rows.held_out()))):
        encoded = [tuple(encode_prompt(tokenizer, dialog)) for dialog in dialogs]
        fitting = [place for place, ids in enumerate(encoded) if len(ids) <= longest]
        left_out += len(dialogs) - len(fitting)
        found[name] = Prompts(dialogs, encoded, [is_tagged(dialog) for dialog in dialogs]).take(fitting)
    if not len(found["train"]):
        path = settings.data[0].path
        raise DataError(
            path,
            f"of {left_out:,} prompts none has {longest:,} tokens or fewer, so none leaves room for a reply",
            mend="Lower max_new_tokens, raise context, or give shorter prompts",
        )
    return PromptData(found["train"], found["held_out"], left_out, report.held_out_elsewhere)


def prompt_rows(settings: CorpusSettings, tokenizer: Tokenizer) -> Rows[Dialog, TokenStore]:
    """The prompts to learn from and those held out."""

    def encoded(prompts: Iterable[Dialog]) -> Iterator[Encoded]:
        return (Encoded(encode_prompt(tokenizer, prompt)) for prompt in prompts)

    return dialog_rows(settings, read_prompts, encoded, tokenizer.vocab_size)
