import random

import pytest
import torch
from torch import nn

from paddock.errors import PaddockError
from paddock.model import decoding, generation
from paddock.model.config import ModelConfig
from paddock.model.decoding import Cache, decode, lay_out, prefill
from paddock.model.generation import LocalChatModel, generate, log_probs_of, stream
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling
from paddock.text.chat_format import encode_dialog
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import train_tokenizer

END = 7
CORPUS = [
    "The red fox is in the barn. What is 2 + 3? It is 5.",
    "Mia likes tea, and Tom likes jam.",
    "naïve café 日本 🙂",
] * 20


def network(vocab_size=89, context_length=64, kv_heads=2):
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size, 32, 2, 4, kv_heads, 48, context_length=context_length))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)  # so that what is sampled depends on what came before
    return model


def prompts(number=9, longest=20):
    draw = random.Random(0)
    return [[draw.randrange(89) for _ in range(draw.randrange(1, longest))] for _ in range(number)]


def naive(model, prompt, sampling, uniform):
    """The slow way: no cache, no batch, one distribution at a time."""
    ids = list(prompt)
    for number in uniform[: sampling.max_new_tokens]:
        distribution = (model(torch.tensor([ids]))[0, -1] / sampling.temperature).softmax(-1)
        ids.append(int((distribution.cumsum(0) <= number * distribution.sum()).sum()))
        if ids[-1] == END or len(ids) == model.config.context_length:
            break
    return tuple(ids[len(prompt) :])


@pytest.fixture(scope="module")
def chat():
    tokenizer = train_tokenizer(CORPUS, 320, seed=0)
    return LocalChatModel(network(tokenizer.vocab_size, context_length=128), tokenizer)


QUESTION = Dialog((Message("user", "What is 2 + 3?"),))


@torch.no_grad()
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_cached_logits_equal_the_whole_forward_for_unequal_rows(kv_heads):
    model, lengths = network(kv_heads=kv_heads), [3, 11, 1, 8]
    ids = torch.randint(0, 89, (4, 30), generator=torch.Generator().manual_seed(0))
    cache, held = Cache(model, 4, 40), torch.tensor(lengths)
    padded = torch.where(torch.arange(11) < held[:, None], ids[:, :11], 0)
    logits = prefill(model, cache, padded, held, first_row=0)
    for step in range(15):
        for row, length in enumerate(held.tolist()):
            torch.testing.assert_close(logits[row], model(ids[row : row + 1, :length])[0, -1], atol=1e-4, rtol=0)
        logits = decode(lay_out(model, 4), cache, ids[torch.arange(4), held], held, 11 + step)
        held = held + 1


def test_sampling_equals_the_slow_way():
    model, sampling = network(), Sampling(n=2, temperature=0.9, max_new_tokens=20, seed=4)
    completions = generate(model, prompts(), sampling, END)
    for number, prompt in enumerate(prompts()):
        for sample in range(2):
            uniform = generation.uniform_numbers(4, number, sample, 64).tolist()
            assert completions[number][sample].token_ids == naive(model, prompt, sampling, uniform)


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_completions_do_not_depend_on_the_batch(rows):
    model, sampling = network(), Sampling(n=3, top_p=0.95, max_new_tokens=25, seed=1)
    alone = generate(model, prompts(), sampling, END, rows=7)
    together = generate(model, prompts(), sampling, END, rows=rows)
    for left, right in zip(alone, together, strict=True):
        assert [c.token_ids for c in left] == [c.token_ids for c in right]
        assert [c.finish_reason for c in left] == [c.finish_reason for c in right]
        for one, other in zip(left, right, strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.15, 1.0])
def test_samples_share_a_row_for_as_long_as_they_are_the_same(monkeypatch, temperature):
    model, sampling = network(), Sampling(n=6, temperature=temperature, max_new_tokens=12, seed=2)
    decoded, plain = [], generation.decode
    monkeypatch.setattr(generation, "decode", lambda *args: decoded.append(len(args[2])) or plain(*args))
    completions = generate(model, prompts(), sampling, END)
    shared_rows = sum(decoded)
    beginnings = {
        (number, c.token_ids[:made])
        for number, samples in enumerate(completions)
        for c in samples
        for made in range(1, len(c.token_ids))
    }
    assert shared_rows == len(beginnings)  # each is read once, and the last id of a completion never
    decoded.clear()
    alone = generate(model, prompts(), sampling, END, rows=1)  # requests of one sample, which share nothing
    assert shared_rows < sum(decoded)
    for left, right in zip(completions, alone, strict=True):
        assert [c.token_ids for c in left] == [c.token_ids for c in right]


def test_as_many_samples_as_the_cache_can_hold_may_part(monkeypatch):
    model, sampling = network(), Sampling(n=12, temperature=5.0, max_new_tokens=6, seed=2)
    most, plain = [], generation.decode
    monkeypatch.setattr(generation, "decode", lambda *args: most.append(len(args[2])) or plain(*args))
    generate(model, prompts() * 4, sampling, END, rows=3)
    assert 3 < max(most) <= 3 * generation.SAMPLES_A_ROW


def test_seeds_repeat_and_differ():
    model = network()
    first, again, other = (generate(model, prompts(), Sampling(max_new_tokens=9, seed=seed), END) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_samples_of_one_prompt_differ():
    (samples,) = generate(network(), [[3, 4]], Sampling(n=8, max_new_tokens=12), None)
    assert len({sample.token_ids for sample in samples}) == 8


def test_log_probs_are_those_of_a_forward_pass_over_the_whole():
    model = network()
    completions = generate(model, prompts(), Sampling(n=2, max_new_tokens=12), END)
    pairs = [(prompt, c) for prompt, samples in zip(prompts(), completions, strict=True) for c in samples]
    scored = log_probs_of(model, [(prompt + list(c.token_ids), len(prompt)) for prompt, c in pairs])
    for (_, completion), expected in zip(pairs, scored, strict=True):
        assert completion.log_probs == pytest.approx(expected, abs=1e-4)


def test_scores_do_not_depend_on_what_is_scored_together(monkeypatch):
    model, sequences = network(), [([*prompt, 1, 2], 1) for prompt in prompts()]
    together = log_probs_of(model, sequences)
    monkeypatch.setattr(generation, "TOKENS_AT_A_TIME", 1)
    for one, other in zip(log_probs_of(model, sequences), together, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_the_end_token_ends_a_completion_and_is_part_of_it():
    completions = [c for samples in generate(network(), prompts(), Sampling(n=4, max_new_tokens=40), END) for c in samples]
    stopped = [c for c in completions if c.finish_reason == "stop"]
    assert stopped
    assert all(c.token_ids.index(END) == len(c.token_ids) - 1 for c in stopped)
    assert all(END not in c.token_ids for c in completions if c.finish_reason == "length")


def test_a_full_context_ends_a_completion():
    samples = generate(network(context_length=16), [[1] * 15, [1] * 4], Sampling(max_new_tokens=50), None)
    assert [(len(c.token_ids), c.finish_reason) for (c,) in samples] == [(1, "length"), (12, "length")]


def test_a_prompt_that_fills_the_context_is_refused():
    with pytest.raises(ValueError, match="prompt 1 has 64 ids"):
        generate(network(), [[1], [1] * 64], Sampling())


def test_no_prompts_give_no_completions():
    assert generate(network(), [], Sampling()) == []


def test_the_cache_is_bounded_in_bytes(monkeypatch):
    sampling = Sampling(n=5, max_new_tokens=10)
    expected = generate(network(), prompts(), sampling, END)
    monkeypatch.setattr(decoding, "CACHE_BYTES", 1)  # one row at a time
    assert [[c.token_ids for c in samples] for samples in generate(network(), prompts(), sampling, END)] == [
        [c.token_ids for c in samples] for samples in expected
    ]


def test_a_cpu_decodes_64_rows_in_2_gibibytes():
    assert decoding.bounds_of(torch.device("cpu")) == (64, 2**31)


@pytest.mark.parametrize(
    ("free", "reserved", "cache"),
    [(60, 0, 10), (20, 0, 10), (10, 4, 6), (4, 0, 2)],  # GiB of 80; of what is reserved, 2 are in use
)
def test_an_accelerators_cache_has_an_eighth_of_its_memory_or_half_of_what_is_free(monkeypatch, free, reserved, cache):
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free * gib, 80 * gib))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: min(reserved, 2) * gib)
    assert decoding.bounds_of(torch.device("cuda")) == (512, cache * gib)


def test_streamed_ids_equal_the_batch():
    sampling = Sampling(max_new_tokens=30, seed=2, top_k=20)
    ((whole,),) = generate(network(), [[5, 6, 7]], sampling, END)
    assert tuple(stream(network(), [5, 6, 7], sampling, END)) == whole.token_ids


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ids_beyond_the_tokenizer_are_never_sampled(temperature):
    """A model with two thirds of its rows beyond the vocabulary, all of them likelier than any other."""
    model, sampling = network(), Sampling(temperature=temperature, max_new_tokens=30)
    with torch.no_grad():
        model.head.weight[30:] *= 4
    few = [[token % 30 for token in prompt] for prompt in prompts()]
    found = generate(model, few, sampling, None, vocabulary=30)
    assert max(max(c.token_ids) for (c,) in found) < 30
    assert max(max(c.token_ids) for (c,) in generate(model, few, sampling, None)) >= 30
    assert tuple(stream(model, few[0], sampling, None, vocabulary=30)) == found[0][0].token_ids


def test_a_chat_model_samples_what_its_tokenizer_knows(chat):
    wide = LocalChatModel(network(chat.tokenizer.vocab_size + 200, context_length=128), chat.tokenizer)
    (samples,) = wide.complete([QUESTION], Sampling(n=8, max_new_tokens=40))
    assert max(max(sample.token_ids) for sample in samples) < chat.tokenizer.vocab_size
    ids = [wide.encode(QUESTION), samples[0].token_ids]
    (scored,) = log_probs_of(wide.model, [((*ids[0], *ids[1]), len(ids[0]))])
    assert samples[0].log_probs == pytest.approx(scored, abs=1e-4)  # those of the whole distribution, as training sees it


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_that_are_not_numbers_are_an_error_that_says_so(temperature):
    model, sampling = network(), Sampling(temperature=temperature, max_new_tokens=4)
    with torch.no_grad():
        model.blocks[0].attention.qkv.weight[0, 0] = torch.nan
    with pytest.raises(PaddockError, match="logits are not finite"):
        generate(model, prompts(), sampling, END)
    with pytest.raises(PaddockError, match="logits are not finite"):
        list(stream(model, [5, 6, 7], sampling, END))


def test_bfloat16_weights_sample():
    model = network().to(torch.bfloat16)
    assert all(len(c.token_ids) == 6 for (c,) in generate(model, prompts(), Sampling(max_new_tokens=6), None))


def test_answers_are_the_text_of_their_ids(chat):
    (samples,) = chat.complete([QUESTION], Sampling(n=5, max_new_tokens=30))
    for sample in samples:
        assert sample.text == chat.tokenizer.decode(sample.token_ids).strip()
        assert len(sample.log_probs) == len(sample.token_ids)


def test_a_continuation_joins_on_to_its_prompt(chat):
    ((sample,),) = chat.complete(["The red"], Sampling(max_new_tokens=12))
    ids = chat.tokenizer.encode("The red", bos=True)
    assert "The red" + sample.text == chat.tokenizer.decode([*ids, *sample.token_ids])


def test_a_stop_string_is_found_across_tokens_and_trimmed(chat):
    plain = [c.text for c in chat.complete(["The red fox"], Sampling(n=12, max_new_tokens=40))[0]]
    text = max(plain, key=len)
    stop = text[7:12]  # five characters from the middle, whatever their tokens
    stopped = chat.complete(["The red fox"], Sampling(n=12, max_new_tokens=40, stop=("never occurs", stop)))[0]
    for before, after in zip(plain, stopped, strict=True):
        assert after.text == before.split(stop)[0]
        assert after.finish_reason == "stop" or stop not in before
    shortened = stopped[plain.index(text)]
    assert shortened.finish_reason == "stop"
    assert len(shortened.token_ids) < 40


@pytest.mark.parametrize("prompt", [QUESTION, "The red fox"])
@pytest.mark.parametrize("seed", range(4))
def test_streamed_pieces_join_to_the_completion(chat, prompt, seed):
    ((whole,),) = chat.complete([prompt], Sampling(max_new_tokens=60, seed=seed))
    assert "".join(chat.stream(prompt, Sampling(max_new_tokens=60, seed=seed))) == whole.text
    stop = whole.text[9:11]
    ((stopped,),) = chat.complete([prompt], Sampling(max_new_tokens=60, seed=seed, stop=(stop,)))
    pieces = list(chat.stream(prompt, Sampling(max_new_tokens=60, seed=seed, stop=(stop,))))
    assert "".join(pieces) == stopped.text
    assert all(pieces)


def test_a_prompt_too_long_is_an_error_of_its_own_and_the_others_are_answered(chat):
    long = Dialog((Message("user", "the barn " * 200),))
    answered, refused, also = chat.complete([QUESTION, long, "The"], Sampling(n=2, max_new_tokens=3))
    assert [c.finish_reason for c in refused] == ["error", "error"]
    assert "context of 128 leaves no room" in refused[0].error
    assert refused[0].token_ids is None
    assert all(len(c.token_ids) == 3 or c.finish_reason == "stop" for c in (*answered, *also))
    with pytest.raises(PaddockError, match="leaves no room"):
        next(chat.stream(long, Sampling()))


def test_log_probs_of_an_answer_are_those_of_its_tokens_and_its_end(chat):
    (scored,) = chat.log_probs([QUESTION], ["It is 5."])
    encoded = encode_dialog(chat.tokenizer, QUESTION.with_reply("It is 5."))
    ids = torch.tensor([encoded.ids])
    with torch.no_grad():
        expected = chat.model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[0, :, 0]
    assert encoded.ids[-1] == chat.tokenizer.eos_id
    assert scored == pytest.approx(expected[torch.tensor(encoded.loss_mask)[1:]].tolist(), abs=1e-4)


def test_log_probs_of_a_continuation_add_up_over_its_parts(chat):
    whole, first = chat.log_probs(["The", "The"], [" red fox", " red"])
    (second,) = chat.log_probs(["The red"], [" fox"])
    assert sum(whole) == pytest.approx(sum(first) + sum(second), abs=1e-4)


def test_log_probs_beyond_the_context_are_refused(chat):
    with pytest.raises(PaddockError, match="prompt 0 and its continuation are"):
        chat.log_probs(["The"], [" red" * 200])


def test_a_prompt_that_ends_in_a_space_scores_the_token_that_takes_the_space(chat):
    (scored,), (whole,) = chat.log_probs(["the cat "], ["sat"]), chat.log_probs([""], ["the cat sat"])
    assert len(scored) > 0
    assert scored == pytest.approx(whole[-len(scored) :])
