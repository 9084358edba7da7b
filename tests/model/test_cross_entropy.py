import pytest
import torch
from torch.nn import functional

from paddock.model import cross_entropy
from paddock.model.cross_entropy import summed_cross_entropy, token_log_probs


@pytest.fixture(autouse=True)
def several_slices(monkeypatch):
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_A_TIME", 7 * 50)  # 7 rows at a time: the last slice is a short one


def operands(rows=24, dtype=torch.float32):
    torch.manual_seed(0)
    hidden = torch.randn(rows, 16, dtype=dtype, requires_grad=True)
    weight = torch.randn(50, 16, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randint(0, 50, (rows,))


def test_loss_and_gradients_equal_torch():
    hidden, weight, targets = operands()
    ours = summed_cross_entropy(hidden, weight, targets) / 24
    theirs = functional.cross_entropy(hidden @ weight.T, targets)
    torch.testing.assert_close(ours, theirs)
    for mine, reference in zip(
        torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(mine, reference)


def test_gradients_equal_finite_differences():
    hidden, weight, targets = operands(rows=3, dtype=torch.float64)
    loss = summed_cross_entropy(hidden, weight, targets)
    (gradient,) = torch.autograd.grad(loss, hidden)
    step = torch.zeros_like(hidden)
    step[1, 4] = 1e-3
    with torch.no_grad():
        ahead, behind = (functional.cross_entropy((hidden + s) @ weight.T, targets, reduction="sum") for s in (step, -step))
    assert gradient[1, 4].item() == pytest.approx((ahead - behind).item() / 2e-3, abs=1e-5)


def test_autocast_gives_a_float32_loss_near_the_exact_one():
    hidden, weight, targets = operands()
    exact = summed_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        loss = summed_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)


def test_no_positions_give_zero_loss_and_zero_gradients():
    hidden, weight, targets = operands(rows=0)
    loss = summed_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_a_frozen_head_gets_no_gradient():
    hidden, weight, targets = operands()
    summed_cross_entropy(hidden, weight.detach(), targets).backward()
    reference = functional.cross_entropy(hidden @ weight.detach().T, targets, reduction="sum")
    torch.testing.assert_close(hidden.grad, torch.autograd.grad(reference, hidden)[0])
    assert weight.grad is None


def test_logits_never_exist_whole():
    hidden, weight, targets = operands(rows=70)
    with torch.profiler.profile(profile_memory=True, record_shapes=True) as profile:
        summed_cross_entropy(hidden, weight, targets).backward()
    shapes = [shape for event in profile.events() for shape in (event.input_shapes or [])]
    assert [7, 50] in shapes
    assert [70, 50] not in shapes


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_log_probs_equal_the_plain_ones_and_their_gradients(temperature):
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 6, requires_grad=True), torch.randn(23, 6, requires_grad=True)
    targets, scale = torch.randint(0, 23, (9,)), torch.randn(9)
    log_probs, entropies = token_log_probs(hidden, weight, targets, temperature)
    plain = torch.log_softmax(hidden @ weight.T / temperature, -1)
    expected = plain.gather(-1, targets[:, None])[:, 0]
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(entropies, torch.distributions.Categorical(logits=plain).entropy())
    found = torch.autograd.grad((log_probs * scale).sum(), (hidden, weight))
    wanted = torch.autograd.grad((expected * scale).sum(), (hidden, weight))
    torch.testing.assert_close(found, wanted)
