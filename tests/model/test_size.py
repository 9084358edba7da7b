import pytest
import torch

from paddock.errors import CheckpointError
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig, preset
from paddock.model.size import count_parameters, describe_size, forward_flops, saved_elements
from paddock.model.transformer import Transformer

SMALL = ModelConfig(96, 32, 2, 4, 2, 88, context_length=64)


@pytest.mark.parametrize(("name", "total"), [("7b", 6_738_415_616), ("13b", 13_015_864_320), ("70b", 68_976_648_192)])
def test_presets_have_the_released_models_parameters(name, total):
    assert count_parameters(preset(name))["total"] == total


def test_a_tied_head_is_counted_once():
    untied, tied = (count_parameters(ModelConfig(96, 32, 1, 4, 4, 64, tie_embeddings=t)) for t in (False, True))
    assert untied["total"] - tied["total"] == untied["embedding"] - tied["embedding"] == 96 * 32


def test_parts_add_up_to_the_total():
    counts = count_parameters(SMALL)
    assert counts["total"] == counts["embedding"] + SMALL.n_layers * counts["each_block"] + SMALL.dim


def test_flops_are_those_that_a_profiler_counts():
    from torch.utils.flop_counter import FlopCounterMode

    model = Transformer(SMALL)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        # Meta tensors take PyTorch's own linear, whose operations the counter knows.
        model.to("meta")(torch.zeros(1, SMALL.context_length, dtype=torch.int64))
    attention_beyond_the_causal_half = 2 * SMALL.n_layers * SMALL.dim * SMALL.context_length
    assert counter.get_total_flops() / SMALL.context_length == pytest.approx(
        forward_flops(SMALL) + attention_beyond_the_causal_half, rel=0.01
    )


@pytest.mark.parametrize("checkpointed", [False, True])
def test_saved_elements_are_near_what_autograd_keeps(checkpointed):
    model = Transformer(SMALL)
    model.checkpoint_activations = checkpointed
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.dtype == torch.float32:
            kept[storage.data_ptr()] = (storage.nbytes() // 4, tensor)
        return tensor

    tokens = torch.randint(0, 96, (8, 64))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(tokens, targets=tokens)
    measured = sum(elements for elements, _ in kept.values()) / tokens.numel()
    block_in_backward = 0 if not checkpointed else saved_elements(SMALL, True) - (SMALL.n_layers + 4) * SMALL.dim
    assert loss.requires_grad
    assert measured == pytest.approx(saved_elements(SMALL, checkpointed) - block_in_backward, rel=0.15)


def test_a_folder_is_described_like_its_preset(tmp_path):
    save_model(Transformer(SMALL), tmp_path / "model")
    described = describe_size(str(tmp_path / "model"))
    assert described["parameters"] == count_parameters(SMALL)
    assert described["memory_bytes"]["kv_cache_a_token_bfloat16"] == 2 * 2 * SMALL.n_layers * 2 * 8


def test_a_name_that_is_neither_preset_nor_folder_is_answered_with_the_nearest():
    with pytest.raises(CheckpointError, match='Did you mean "70b"'):
        describe_size("70bb")
