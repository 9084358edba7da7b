"""The shape of a model, and the shapes of the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace

from paddock.errors import SettingsError, did_you_mean


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a Llama 2 network (paper section 2.2)."""

    vocab_size: int
    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    ffn_dim: int
    context_length: int = 4096
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "ffn_dim", "context_length"):
            if not isinstance(getattr(self, name), int):
                raise SettingsError(f"model: {name} is {getattr(self, name)!r}, and must be a whole number")
            if getattr(self, name) < 1:
                raise SettingsError(f"model: {name} is {getattr(self, name)}, and must be at least 1")
        if self.dim % self.n_heads or (self.dim // self.n_heads) % 2:
            raise SettingsError(f"model: dim {self.dim} over n_heads {self.n_heads} must give an even head size")
        if self.n_heads % self.n_kv_heads:
            raise SettingsError(f"model: n_heads {self.n_heads} must be a multiple of n_kv_heads {self.n_kv_heads}")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads


# Table 1 has context and grouped-query attention; the dimensions are those of the released configurations. The 34B model
# was never released: its shape is that of its published code sibling.
PRESETS: dict[str, ModelConfig] = {
    "miniature": ModelConfig(1024, 128, 4, 4, 2, 352, context_length=256),
    "7b": ModelConfig(32_000, 4096, 32, 32, 32, 11_008),
    "13b": ModelConfig(32_000, 5120, 40, 40, 40, 13_824),
    "34b": ModelConfig(32_000, 8192, 48, 64, 8, 22_016),
    "70b": ModelConfig(32_000, 8192, 80, 64, 8, 28_672),
}


def preset(name: str, **changes: int | float | bool) -> ModelConfig:
    """The preset `name` with some fields changed. Raises SettingsError for a name that is not a preset."""
    if name not in PRESETS:
        raise SettingsError(f'"{name}" is not a preset: {", ".join(PRESETS)}.{did_you_mean(name, PRESETS)}')
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]
