import pytest
import torch
from torch.nn import functional

from paddock.model.linear import Linear, goes_through_onednn, linear


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 17), (17, 6), (9, 9)])
def test_product_and_gradients_equal_torch_linear(inputs, outputs):
    torch.manual_seed(0)
    x, weight = torch.randn(3, 5, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    grad = torch.randn(3, 5, outputs)
    ours, theirs = linear(x, weight), functional.linear(x, weight)
    torch.testing.assert_close(ours, theirs)
    for mine, reference in zip(
        torch.autograd.grad(ours, (x, weight), grad), torch.autograd.grad(theirs, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(mine, reference)


def test_no_rows_give_no_rows_and_a_zero_gradient():
    weight = torch.randn(4, 6, requires_grad=True)
    product = linear(torch.empty(0, 6), weight)
    product.sum().backward()
    assert product.shape == (0, 4)
    assert torch.equal(weight.grad, torch.zeros(4, 6))


def test_autocast_multiplies_in_its_own_dtype():
    layer = Linear(6, 4)
    x = torch.randn(2, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert not goes_through_onednn(x, layer.weight)
        assert layer(x).dtype == torch.bfloat16


def test_bfloat16_weights_give_bfloat16():
    assert Linear(6, 4).to(torch.bfloat16)(torch.randn(2, 6).bfloat16()).dtype == torch.bfloat16
