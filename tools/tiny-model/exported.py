"""An exported directory (ckpt-0, config.json) as a model, and a model as an exported directory."""

import json
from pathlib import Path

import numpy as np
import torch

import ckpt0
from model import Grok, ModelConfig

# Names of a layer's leaves in model.py.
ATTRIBUTES = {
    "moe/linear": "moe_linear",
    "moe/linear_1": "moe_linear_1",
    "moe/linear_v": "moe_linear_v",
    "multi_head_attention/key": "key",
    "multi_head_attention/linear": "linear",
    "multi_head_attention/query": "query",
    "multi_head_attention/value": "value",
    "rms_norm": "rms_norm",
    "rms_norm_1": "rms_norm_1",
    "rms_norm_2": "rms_norm_2",
    "rms_norm_3": "rms_norm_3",
    "router": "router",
}


def parameter_of(model: Grok, leaf: tuple) -> torch.nn.Parameter:
    if len(leaf) == 1:
        return getattr(model, leaf[0])
    layer, slot = leaf
    return getattr(model.layers[layer], ATTRIBUTES[slot])


def ffn_size(emb_size: int, widening_factor: float) -> int:
    """Source: xai-org/grok-1 model.py:ffn_size"""
    size = int(widening_factor * emb_size) * 2 // 3
    return (size + 7) // 8 * 8


def xai_config(config: ModelConfig) -> dict:
    """Fields of LanguageModelConfig, in "model" those of TransformerConfig; "derived" is what xAI's code has built in.

    Source: xai-org/grok-1 run.py, model.py
    """
    widening_factor = config.d_ff * 3 / 2 / config.d_model
    if ffn_size(config.d_model, widening_factor) != config.d_ff:
        raise ValueError(f"expected a d_ff that ffn_size() can give, found {config.d_ff}")
    return {
        "name": "grok-tiny",
        "model_type": "grok-1",
        "vocab_size": config.vocab_size,
        "pad_token": 0,
        "eos_token": 2,
        "sequence_len": config.context_length,
        "output_multiplier_scale": config.logit_scale,
        "embedding_multiplier_scale": config.embedding_scale,
        "model": {
            "emb_size": config.d_model,
            "widening_factor": widening_factor,
            "key_size": config.head_dim,
            "num_q_heads": config.num_q_heads,
            "num_kv_heads": config.num_kv_heads,
            "num_layers": config.num_layers,
            "attn_output_multiplier": config.attn_logit_scale,
            "num_experts": config.num_experts,
            "num_selected_experts": config.experts_per_token,
        },
        "derived": {
            "ffn_size": config.d_ff,
            "rope_base": config.rope_base,
            "rms_norm_eps": config.norm_eps,
            "attn_logit_cap": config.attn_logit_cap,
        },
    }


def write_exported(model: Grok, directory: Path) -> None:
    num_layers = model.config.num_layers
    parameters = {leaf: parameter_of(model, leaf).detach().numpy() for leaf in ckpt0.leaves(num_layers)}
    ckpt0.save(parameters, num_layers, directory / "ckpt-0")
    (directory / "config.json").write_text(json.dumps(xai_config(model.config), indent=2) + "\n")


@torch.no_grad()
def read_exported(directory: Path) -> Grok:
    """With the weights dequantised."""
    fields = json.loads((directory / "config.json").read_text())
    network, derived = fields["model"], fields["derived"]
    model = Grok(
        ModelConfig(
            vocab_size=fields["vocab_size"],
            context_length=fields["sequence_len"],
            d_model=network["emb_size"],
            num_layers=network["num_layers"],
            num_q_heads=network["num_q_heads"],
            num_kv_heads=network["num_kv_heads"],
            head_dim=network["key_size"],
            d_ff=derived["ffn_size"],
            num_experts=network["num_experts"],
            experts_per_token=network["num_selected_experts"],
            attn_logit_cap=derived["attn_logit_cap"],
            rope_base=derived["rope_base"],
            norm_eps=derived["rms_norm_eps"],
            embedding_scale=fields["embedding_multiplier_scale"],
            logit_scale=fields["output_multiplier_scale"],
        )
    )
    for number, leaf in enumerate(ckpt0.leaves(model.config.num_layers)):
        stored = ckpt0.load(directory / "ckpt-0" / ckpt0.file_name(number))
        values = ckpt0.dequantize(stored) if isinstance(stored, ckpt0.QuantizedWeight8bit) else stored
        parameter = parameter_of(model, leaf)
        if parameter.shape != values.shape:
            raise ValueError(f"{leaf}: expected {tuple(parameter.shape)}, found {values.shape}")
        parameter.copy_(torch.from_numpy(np.array(values)))
    return model.eval()
