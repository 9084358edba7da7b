"""What a folder of weights holds, and how one that does not fit is answered."""

import json

import pytest
import torch
from safetensors.torch import save_file

from paddock.errors import CheckpointError
from paddock.model.stored_tensors import INDEX_FILE, WEIGHTS_FILE, StoredTensor, check_tensors, inventory, stored_tensors

TENSORS = {"norm.weight": torch.ones(4), "up.weight": torch.ones(3, 4, dtype=torch.bfloat16)}
SHAPES = {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


@pytest.fixture
def single(tmp_path):
    """Both tensors in one file."""
    save_file(TENSORS, tmp_path / WEIGHTS_FILE)
    return tmp_path


@pytest.fixture
def sharded(tmp_path):
    """Each tensor in a file of its own, and an index."""
    files = {name: f"{name}.safetensors" for name in TENSORS}
    for name, file in files.items():
        save_file({name: TENSORS[name]}, tmp_path / file)
    (tmp_path / INDEX_FILE).write_text(json.dumps({"weight_map": files}))
    return tmp_path


def test_each_tensor_of_a_file_is_described(single):
    assert stored_tensors(single) == {
        "norm.weight": StoredTensor(WEIGHTS_FILE, (4,), "F32"),
        "up.weight": StoredTensor(WEIGHTS_FILE, (3, 4), "BF16"),
    }


def test_each_tensor_of_a_sharded_folder_is_described_with_its_own_file(sharded):
    assert {name: tensor.file for name, tensor in stored_tensors(sharded).items()} == {
        "norm.weight": "norm.weight.safetensors",
        "up.weight": "up.weight.safetensors",
    }


def test_a_missing_shard_is_named(sharded):
    (sharded / "up.weight.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks up\.weight\.safetensors, which .* names; it holds"):
        stored_tensors(sharded)


def test_a_truncated_file_is_called_damaged(single):
    content = (single / WEIGHTS_FILE).read_bytes()
    (single / WEIGHTS_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        stored_tensors(single)


def test_an_index_cannot_point_outside_the_folder(single):
    folder = single / "model"
    folder.mkdir()
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": {"norm.weight": f"../{WEIGHTS_FILE}"}}))
    with pytest.raises(CheckpointError, match="weight_map"):
        stored_tensors(folder)


def test_a_pickle_is_not_read_and_the_way_out_is_named(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors.*Only safetensors are read.*save_pretrained"):
        stored_tensors(tmp_path)


def test_tensors_that_fit_are_let_pass(single):
    check_tensors(single, stored_tensors(single), SHAPES)


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({**SHAPES, "down.weight": (4, 3)}, "missing down.weight$"),
        ({"up.weight": (3, 4)}, "unexpected norm.weight$"),
        ({**SHAPES, "up.weight": (5, 4)}, r"misshapen up.weight \(3, 4\) instead of \(5, 4\)$"),
        ({"down.weight": (1,), **SHAPES, "norm.weight": (2,)}, "missing down.weight; misshapen norm.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(single, shapes, named):
    with pytest.raises(CheckpointError, match=named):
        check_tensors(single, stored_tensors(single), shapes)


def test_a_dtype_that_is_not_read_is_named(tmp_path):
    save_file({"norm.weight": torch.ones(4, dtype=torch.int8)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=r"not float32, bfloat16 or float16: norm.weight \(I8\)"):
        check_tensors(tmp_path, stored_tensors(tmp_path), {"norm.weight": (4,)})


@pytest.mark.parametrize("name", ["head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"])
def test_what_can_be_spared_is_passed_over(single, name):
    check_tensors(single, {**stored_tensors(single), name: StoredTensor("x", (1,), "F32")}, SHAPES, {"head.weight"})


def test_of_many_names_the_first_few_are_told(single):
    shapes = {**SHAPES, **{f"layer{n}": (1,) for n in range(8)}}
    with pytest.raises(CheckpointError, match=r"missing layer0, layer1, layer2, layer3, layer4 and 3 more$"):
        check_tensors(single, stored_tensors(single), shapes)


def test_what_is_no_folder_is_said_to_be_none(tmp_path):
    (tmp_path / "file").touch()
    assert inventory(tmp_path / "nowhere") == "there is no such folder"
    assert inventory(tmp_path / "file") == "it is a file"
    (tmp_path / "empty").mkdir()
    assert inventory(tmp_path / "empty") == "it is empty"
