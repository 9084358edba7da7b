import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paddock.errors import CheckpointError
from paddock.model.checkpoint import load_model, read_config, save_model
from paddock.model.config import ModelConfig
from paddock.model.stored_tensors import INDEX_FILE, WEIGHTS_FILE
from paddock.model.transformer import Transformer

SHAPES = {"mha": (4, False), "gqa": (2, False), "mqa": (1, False), "tied": (2, True)}


def config_of(shape="gqa", **changes):
    kv_heads, tied = SHAPES[shape]
    fields = {"context_length": 48, "rope_theta": 5_000.0, "norm_eps": 1e-6, "tie_embeddings": tied} | changes
    return ModelConfig(71, 32, 3, 4, kv_heads, 40, **fields)


def ours(shape="gqa", **changes):
    torch.manual_seed(0)
    model = Transformer(config_of(shape, **changes))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def theirs(shape="gqa", **changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    kv_heads, tied = SHAPES[shape]
    torch.manual_seed(0)
    fields = {"vocab_size": 71, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
    fields |= {"num_key_value_heads": kv_heads, "tie_word_embeddings": tied, "max_position_embeddings": 48}
    return LlamaForCausalLM(LlamaConfig(**fields, initializer_range=0.3, rope_theta=5_000.0, **changes)).eval()


def ids():
    return torch.randint(0, 71, (2, 40), generator=torch.Generator().manual_seed(2))


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.fixture
def saved(tmp_path):
    save_model(ours(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("shard", ["5GB", "20KB"])
@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_checkpoints_give_their_logits(tmp_path, shape, shard):
    model = theirs(shape)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / INDEX_FILE).exists() == (shard == "20KB")
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path)(ids()), model(ids()).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("max_shard_bytes", [5e9, 2e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_gives_our_logits(tmp_path, shape, max_shard_bytes):
    from transformers import AutoModelForCausalLM

    model = ours(shape)
    save_model(model, tmp_path / "model", max_shard_bytes=max_shard_bytes)
    assert (tmp_path / "model" / INDEX_FILE).exists() == (max_shard_bytes == 2e4)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids()).logits, model(ids()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_saved_is_loaded_bit_by_bit(tmp_path, shape):
    model = ours(shape)
    save_model(model, tmp_path / "model", max_shard_bytes=2e4)
    loaded = load_model(tmp_path / "model")
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_the_same_weights_give_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        save_model(ours(), tmp_path / name, max_shard_bytes=2e4)
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("first", "second"))
    assert first == second


def test_shards_are_no_larger_than_asked(tmp_path):
    save_model(ours(), tmp_path / "model", max_shard_bytes=2e4)
    sizes = [
        sum(tensor.nbytes for tensor in load_file(file).values()) for file in (tmp_path / "model").glob("*.safetensors")
    ]
    assert len(sizes) > 2
    assert max(sizes) <= 2e4


def test_a_dtype_converts_on_the_way_in_and_out(tmp_path):
    model = ours()
    save_model(model, tmp_path / "model", dtype=torch.bfloat16)
    assert load_file(tmp_path / "model" / WEIGHTS_FILE)["model.norm.weight"].dtype == torch.bfloat16
    assert json.loads((tmp_path / "model" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    as_stored, widened = load_model(tmp_path / "model"), load_model(tmp_path / "model", dtype=torch.float32)
    assert as_stored.embedding.weight.dtype == torch.bfloat16
    assert torch.equal(widened.embedding.weight, model.embedding.weight.bfloat16().float())
    assert widened.cos.dtype == as_stored.cos.dtype == torch.float32


def test_float16_checkpoints_are_read(tmp_path):
    theirs().half().save_pretrained(tmp_path)
    assert load_model(tmp_path).embedding.weight.dtype == torch.float16


def test_the_rotary_base_is_read_from_the_old_place_and_the_new(saved):
    assert read_config(edit_config(saved, rope_parameters=None, rope_theta=7_000.0)).rope_theta == 7_000
    assert (
        read_config(edit_config(saved, rope_parameters={"rope_theta": 8_000.0, "rope_type": "default"})).rope_theta == 8_000
    )
    assert read_config(edit_config(saved, rope_parameters=None, rope_theta=None)).rope_theta == 10_000


def test_the_released_models_config_is_read(tmp_path):
    released = {  # the fields of the published 70B configuration
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "num_attention_heads": 64,
        "num_hidden_layers": 80,
        "num_key_value_heads": 8,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "vocab_size": 32000,
    }
    (tmp_path / "config.json").write_text(json.dumps(released))
    assert read_config(tmp_path) == ModelConfig(32_000, 8192, 80, 64, 8, 28_672)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling is of type 'linear'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "rope_parameters is of type 'llama3'"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
        ({"attention_bias": True}, "attention_bias is true"),
        ({"mlp_bias": True}, "mlp_bias is true"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"architectures": ["MistralForCausalLM"], "model_type": "mistral"}, "MistralForCausalLM"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
    ],
)
def test_what_the_network_cannot_represent_is_refused_by_name(saved, changes, named):
    with pytest.raises(CheckpointError, match=r"cannot represent.*" + named):
        load_model(edit_config(saved, **changes))


def test_an_impossible_shape_is_refused(saved):
    with pytest.raises(CheckpointError, match="n_kv_heads 3"):
        read_config(edit_config(saved, num_key_value_heads=3))


def test_a_missing_field_is_named(saved):
    config = json.loads((saved / "config.json").read_text())
    del config["hidden_size"]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="lacks the field 'hidden_size'"):
        read_config(saved)


def test_a_folder_without_config_is_answered_with_what_it_holds(tmp_path):
    (tmp_path / "weights.gguf").touch()
    with pytest.raises(CheckpointError, match=r"lacks config\.json; it holds weights\.gguf"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "missing model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.update({"model.extra": torch.ones(1)}), "unexpected model.extra"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(saved, edit, named):
    tensors = load_file(saved / WEIGHTS_FILE)
    edit(tensors)
    save_file(tensors, saved / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=named):
        load_model(saved)


def test_rotary_frequencies_of_old_checkpoints_are_passed_over(saved):
    tensors = load_file(saved / WEIGHTS_FILE)
    save_file({**tensors, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, saved / WEIGHTS_FILE)
    assert torch.equal(load_model(saved)(ids()), ours()(ids()))


def test_a_failed_save_leaves_what_stood_there(saved, monkeypatch):
    before = {file.name: file.read_bytes() for file in saved.iterdir()}

    def full_disk(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("paddock.model.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(ours(), saved)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before


def test_loading_holds_no_second_copy(tmp_path):
    import subprocess
    import sys

    torch.manual_seed(0)
    save_model(Transformer(ModelConfig(1024, 512, 8, 8, 8, 2048)), tmp_path / "model")  # 139 MB, its largest tensor 8 MB
    script = (
        "import resource, sys; from paddock.model.checkpoint import load_model;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024;"
        "before = peak(); model = load_model(sys.argv[1]);"
        "size = sum(p.nbytes for p in model.parameters()) / 2**20; print((peak() - before) / size)"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "model")], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.4
