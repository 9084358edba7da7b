"""What `auto` chooses."""

from __future__ import annotations

import pytest
import torch

from paddock.errors import SettingsError
from paddock.train.precision import choose_compiling, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_auto_precision_is_bf16_where_the_processor_multiplies_it(monkeypatch, features, expected) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert choose_precision("auto", CPU) == expected


def test_a_wanted_precision_is_taken_whatever_the_processor(monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    assert choose_precision("bf16", CPU) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("f32", CPU) == torch.float32


def test_auto_compiles_a_long_run_and_not_a_short_one(monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    assert choose_compiling("auto", CPU, 3600.0)[0] is True
    compiled, why = choose_compiling("auto", CPU, 10.0)
    assert compiled is False
    assert "would not repay compiling" in why


def test_without_a_compiler_auto_is_eager_and_on_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    compiled, why = choose_compiling("auto", CPU, 3600.0)
    assert compiled is False
    assert "no C++ compiler" in why
    with pytest.raises(SettingsError, match="install one, or set it to auto"):
        choose_compiling("on", CPU, 3600.0)
