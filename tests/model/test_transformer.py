import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from paddock.model.config import ModelConfig
from paddock.model.transformer import RMSNorm, Transformer, block_diagonal_causal_mask, rotary_tables, rotate

CONFIG = ModelConfig(61, 32, 2, 4, 2, 48, context_length=32)


def network(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    model = Transformer(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)  # large enough for attention to matter
    return model


def tokens(rows=3, length=20):
    return torch.randint(0, CONFIG.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def test_logits_are_float32_also_from_bfloat16_weights():
    logits = network().to(torch.bfloat16)(tokens())
    assert logits.shape == (3, 20, 61)
    assert logits.dtype == torch.float32


def test_no_token_sees_a_later_one():
    model, ids = network(), tokens()
    changed = ids.clone()
    changed[:, 12] = (changed[:, 12] + 1) % 61
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert (before[:, 12:] - after[:, 12:]).abs().amax(dim=-1).min() > 1e-4


@settings(max_examples=20)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_packed_segments_give_the_logits_that_each_gives_alone(lengths):
    model = network()
    ids = tokens(1, sum(lengths) + 2)
    segments = [number for number, length in enumerate(lengths, start=1) for _ in range(length)] + [0, 0]
    packed = model(ids, torch.tensor([segments]))
    start = 0
    for length in lengths:
        alone = model(ids[:, start : start + length])
        torch.testing.assert_close(packed[:, start : start + length], alone, atol=1e-5, rtol=1e-5)
        start += length


def test_padding_gives_finite_logits():
    assert network()(tokens(1, 6), torch.tensor([[1, 1, 0, 0, 0, 0]])).isfinite().all()


def test_mask_is_block_diagonal_and_causal():
    mask = block_diagonal_causal_mask(torch.tensor([[1, 1, 2, 0]]), torch.float32)
    visible = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (mask[0, 0] == 0).int().tolist() == visible


def test_loss_is_the_summed_cross_entropy_of_the_positions_in_the_mask():
    model, ids = network(), tokens()
    targets = tokens(3, 21)[:, 1:]
    mask = torch.rand(3, 20) < 0.4
    expected = functional.cross_entropy(model(ids)[mask], targets[mask], reduction="sum")
    torch.testing.assert_close(model(ids, targets=targets, loss_mask=mask), expected)
    whole = functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(model(ids, targets=targets), whole)


def test_loss_of_a_row_does_not_depend_on_the_rows_beside_it():
    model, ids = network(), tokens(4)
    together = model(ids, targets=ids)
    apart = sum(model(ids[row : row + 1], targets=ids[row : row + 1]) for row in range(4))
    torch.testing.assert_close(together, apart, rtol=1e-6, atol=1e-4)


def test_checkpointed_activations_give_the_same_gradients():
    model, ids = network(), tokens()
    gradients = []
    for checkpointed in (False, True):
        model.checkpoint_activations = checkpointed
        model.zero_grad()
        model(ids, targets=ids).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


def test_compiled_blocks_give_the_same_loss():
    model, ids = network(), tokens()
    expected = model(ids, targets=ids)
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(model(ids, targets=ids), expected)


def test_a_model_from_the_meta_device_has_its_tables_and_its_tied_head():
    config = ModelConfig(61, 32, 1, 4, 2, 48, context_length=32, tie_embeddings=True)
    with torch.device("meta"):
        model = Transformer(config)
    model.to(torch.bfloat16).to_empty(device="cpu")
    cos, sin = rotary_tables(32, 8, 10_000.0)
    assert torch.equal(model.cos, cos)
    assert torch.equal(model.sin, sin)
    assert model.head.weight is model.embedding.weight


def test_tables_stay_float32_where_weights_do_not():
    model = network().to(torch.bfloat16)
    assert model.cos.dtype == model.sin.dtype == torch.float32


def test_tables_are_not_saved():
    assert not [name for name in network().state_dict() if "cos" in name or "sin" in name]


def test_rotated_products_depend_on_distance_alone():
    cos, sin = rotary_tables(32, 8, 10_000.0)
    query, key = torch.randn(8), torch.randn(8)

    def product(query_position, key_position):
        rows = [rotate(x[None], cos[p], sin[p])[0] for x, p in ((query, query_position), (key, key_position))]
        return rows[0] @ rows[1]

    torch.testing.assert_close(product(5, 2), product(28, 25), atol=1e-5, rtol=1e-5)
    assert abs(product(5, 2) - product(5, 4)) > 1e-4


def test_rotation_turns_the_halves_of_a_head_by_the_position():
    cos, sin = rotary_tables(4, 2, 10_000.0)
    turned = rotate(torch.tensor([[1.0, 0.0]]), cos[3], sin[3])
    torch.testing.assert_close(turned, torch.tensor([[torch.tensor(3.0).cos(), torch.tensor(3.0).sin()]]))


def test_norm_works_in_float32():
    norm = RMSNorm(4, 1e-5).to(torch.bfloat16)
    x = torch.tensor([[300.0, 0.0, 0.0, 1e-3]]).bfloat16()
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert torch.equal(norm(x), exact.bfloat16())


def test_what_writes_to_the_residual_starts_smaller():
    torch.manual_seed(0)
    model = Transformer(ModelConfig(61, 128, 8, 4, 2, 256))
    assert model.blocks[3].attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.blocks[3].feed_forward.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)


def test_the_same_seed_gives_the_same_weights():
    first, second = (network(seed=seed).state_dict() for seed in (3, 3))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rows_longer_than_the_context_are_refused():
    with pytest.raises(ValueError, match="33 tokens, and the model's context is 32"):
        network()(tokens(1, 33))
