"""Where Hugging Face's tensors stand among the network's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from paddock.model.config import ModelConfig

SCORE = "score.weight"


class Place(NamedTuple):
    """Rows of one of the network's parameters: from `begin` up to `end`."""

    parameter: str
    begin: int
    end: int


def hugging_face_places(config: ModelConfig, rows: Mapping[str, int]) -> dict[str, Place]:
    """Where each tensor of Hugging Face's stands among the network's parameters, which have so many `rows`.

    Queries, keys and values are rows of one matrix here, as are gate and up.
    """

    def whole(name: str) -> Place:
        return Place(name, 0, rows[name])

    query_end = config.n_heads * config.head_dim
    key_end = query_end + config.n_kv_heads * config.head_dim
    places = {"model.embed_tokens.weight": whole("embedding.weight"), "model.norm.weight": whole("norm.weight")}
    for layer in range(config.n_layers):
        ours, theirs = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv, gate_up = whole(ours + "attention.qkv.weight"), whole(ours + "feed_forward.gate_up.weight")
        places |= {
            theirs + "input_layernorm.weight": whole(ours + "attention_norm.weight"),
            theirs + "self_attn.q_proj.weight": qkv._replace(end=query_end),
            theirs + "self_attn.k_proj.weight": qkv._replace(begin=query_end, end=key_end),
            theirs + "self_attn.v_proj.weight": qkv._replace(begin=key_end),
            theirs + "self_attn.o_proj.weight": whole(ours + "attention.output.weight"),
            theirs + "post_attention_layernorm.weight": whole(ours + "feed_forward_norm.weight"),
            theirs + "mlp.gate_proj.weight": gate_up._replace(end=config.ffn_dim),
            theirs + "mlp.up_proj.weight": gate_up._replace(begin=config.ffn_dim),
            theirs + "mlp.down_proj.weight": whole(ours + "feed_forward.down.weight"),
        }
    for ours, theirs in (("head.weight", "lm_head.weight"), ("score.weight", SCORE), ("value.weight", SCORE)):
        if ours in rows and not (ours == "head.weight" and config.tie_embeddings):
            places[theirs] = whole(ours)
    return places
