"""Grok-1's network, trainable. Names of parameters are those of the checkpoint.

Source: xai-org/grok-1 model.py. Shapes in comments: B rows, T tokens, S tokens with those in the cache.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


PADDED_ROWS = 64  # padded_experts() pads to a multiple of this, so that there are few shapes


@dataclass
class ModelConfig:
    vocab_size: int = 4096
    context_length: int = 512
    d_model: int = 256
    num_layers: int = 6
    num_q_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 64
    d_ff: int = 256
    num_experts: int = 8
    experts_per_token: int = 2
    attn_logit_cap: float = 30.0
    rope_base: float = 1e4
    norm_eps: float = 1e-5
    # Embeddings start at RMS 1/sqrt(d_model), like Grok-1's final ones; so the residual stream starts at RMS 1.
    embedding_scale: float = 16.0
    logit_scale: float = 0.5773502691896257

    @property
    def attn_logit_scale(self) -> float:
        return self.head_dim**-0.5


def rms_norm(x, scale, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * scale).to(x.dtype)


def rotation(num_positions, head_dim, base):
    """Cosines and sines, each [num_positions, head_dim]."""
    inverse_frequencies = 1.0 / (base ** (torch.arange(0, head_dim, 2).float() / head_dim))
    angles = torch.arange(num_positions).float()[:, None] * inverse_frequencies[None]
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x, cosines, sines):
    first, second = x.chunk(2, -1)
    return x * cosines.to(x.dtype) + torch.cat([-second, first], -1) * sines.to(x.dtype)


def gated(gate, up):
    return F.gelu(gate, approximate="tanh") * up


class TakeRows(torch.autograd.Function):
    """x[source]. Row `i` of x becomes the rows `taken_by[i]` of the result.

    With `taken_by` at hand, backward() reads the gradients of a row and adds them. PyTorch's own gradient of x[source]
    scatters them into memory, which is slower.
    """

    @staticmethod
    def forward(context, x, source, taken_by):
        context.save_for_backward(taken_by)
        return x.index_select(0, source)

    @staticmethod
    def backward(context, gradient):
        (taken_by,) = context.saved_tensors
        rows = gradient.index_select(0, taken_by.reshape(-1))
        return rows.view(*taken_by.shape, -1).sum(1), None, None


def text_loss(model, h, targets):
    return F.cross_entropy(model.head(h).flatten(0, 1), targets.flatten())


def compile_elementwise() -> None:
    """Fuses element-wise operations by torch.compile. Matrix products stay calls of the library."""
    global rms_norm, gated, text_loss
    DecoderLayer.attention = torch.compile(DecoderLayer.attention, dynamic=False)
    text_loss = torch.compile(text_loss, dynamic=False)
    rms_norm = torch.compile(rms_norm, dynamic=True)
    gated = torch.compile(gated, dynamic=True)


def matrix(*shape, fan_in):
    return nn.Parameter(torch.randn(*shape) * fan_in**-0.5)


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        d_model, d_ff, num_experts = config.d_model, config.d_ff, config.num_experts
        q_width = config.num_q_heads * config.head_dim
        kv_width = config.num_kv_heads * config.head_dim

        # The order of these lines determines how the seed is used.
        self.query = matrix(d_model, q_width, fan_in=d_model)
        self.key = matrix(d_model, kv_width, fan_in=d_model)
        self.value = matrix(d_model, kv_width, fan_in=d_model)
        self.linear = matrix(q_width, d_model, fan_in=q_width)
        # Half the usual size: nearly even routing at the start, without the exact tie of zeros.
        self.router = nn.Parameter(torch.randn(d_model, num_experts) * 0.5 * d_model**-0.5)
        self.moe_linear = matrix(num_experts, d_model, d_ff, fan_in=d_model)
        self.moe_linear_v = matrix(num_experts, d_model, d_ff, fan_in=d_model)
        self.moe_linear_1 = matrix(num_experts, d_ff, d_model, fan_in=d_ff)

        # Each branch ends in a norm. At scale 1 the branches would drown the embedding; at this scale all of them
        # together are about as large as it.
        post_norm = (2 * config.num_layers) ** -0.5
        self.rms_norm = nn.Parameter(torch.ones(d_model))
        self.rms_norm_1 = nn.Parameter(torch.full((d_model,), post_norm))
        self.rms_norm_2 = nn.Parameter(torch.ones(d_model))
        self.rms_norm_3 = nn.Parameter(torch.full((d_model,), post_norm))

    def attention(self, x, cosines, sines, mask, cache):
        """x [B, T, d_model]; mask [T, S]. `cache` is a dict that keeps keys and values between calls, or None."""
        config = self.config
        num_rows, num_tokens, _ = x.shape

        def heads(weight, num_heads):  # [B, num_heads, T, head_dim]
            return (x @ weight).view(num_rows, num_tokens, num_heads, config.head_dim).transpose(1, 2)

        q = rotate(heads(self.query, config.num_q_heads), cosines, sines)
        k = rotate(heads(self.key, config.num_kv_heads), cosines, sines)
        v = heads(self.value, config.num_kv_heads)
        if cache is not None:
            if cache:
                k = torch.cat([cache["keys"], k], 2)
                v = torch.cat([cache["values"], v], 2)
            cache.update(keys=k, values=v)
        heads_per_kv = config.num_q_heads // config.num_kv_heads
        k = k.repeat_interleave(heads_per_kv, 1)
        v = v.repeat_interleave(heads_per_kv, 1)

        logits = (q @ k.transpose(-1, -2)).float() * config.attn_logit_scale
        logits = config.attn_logit_cap * torch.tanh(logits / config.attn_logit_cap) + mask
        mixed = torch.softmax(logits, -1).to(v.dtype) @ v
        return mixed.transpose(1, 2).reshape(num_rows, num_tokens, -1) @ self.linear

    def experts_in_turn(self, rows, counts):
        """rows [N * experts_per_token, d_model], sorted by expert."""
        outputs = []
        for expert, of_expert in enumerate(rows.split(counts.tolist())):
            hidden = gated(of_expert @ self.moe_linear[expert], of_expert @ self.moe_linear_v[expert])
            outputs.append(hidden @ self.moe_linear_1[expert])
        return torch.cat(outputs)

    def padded_experts(self, rows, counts):
        """Same result as experts_in_turn(), by one batched product with each expert's rows padded to one length."""
        longest = -(-int(counts.max()) // PADDED_ROWS) * PADDED_ROWS
        experts = torch.repeat_interleave(counts, output_size=len(rows))
        firsts = counts.cumsum(0) - counts
        places = experts * longest + torch.arange(len(rows), device=rows.device) - firsts[experts]
        num_experts, d_model = len(counts), rows.shape[-1]
        padded = rows.new_zeros(num_experts * longest, d_model).index_copy(0, places, rows)
        padded = padded.view(num_experts, longest, d_model)
        hidden = gated(torch.bmm(padded, self.moe_linear), torch.bmm(padded, self.moe_linear_v))
        return torch.bmm(hidden, self.moe_linear_1).flatten(0, 1).index_select(0, places)

    def experts(self, x):
        """x [N, d_model]. Returns the output, the two losses of the router and the share of tokens of each expert."""
        config = self.config
        router_logits = x @ self.router
        probabilities = torch.softmax(router_logits, -1)
        gates, chosen = probabilities.topk(config.experts_per_token, -1)  # not renormalised, as in the reference

        # Rows sorted by expert. place[token] holds the positions of the token's rows in that order.
        slots = chosen.reshape(-1).argsort()
        place = torch.empty_like(slots)
        place[slots] = torch.arange(slots.numel(), device=x.device)
        place = place.view(chosen.shape)
        counts = torch.bincount(chosen.reshape(-1), minlength=config.num_experts)
        gathered = TakeRows.apply(x, slots // config.experts_per_token, place)
        # The batched product needs fewer launches, which is faster on a GPU. On a CPU it is no faster, and padding
        # costs time.
        if x.is_cuda:
            rows = self.padded_experts(gathered, counts)
        else:
            rows = self.experts_in_turn(gathered, counts)
        taken = TakeRows.apply(rows, place.reshape(-1), slots[:, None]).view(*chosen.shape, -1)
        y = (taken.float() * gates[..., None]).sum(1)

        loads = counts.float() / (x.shape[0] * config.experts_per_token)
        # 1 if the load is even. Source: Fedus et al., "Switch Transformers" (arXiv 2101.03961), equation 4
        balance_loss = config.num_experts * (loads.detach() * probabilities.mean(0)).sum()
        # Keeps router logits small. Source: Zoph et al., "ST-MoE" (arXiv 2202.08906), equation 5
        router_z_loss = torch.logsumexp(router_logits, -1).pow(2).mean()
        return y, balance_loss, router_z_loss, loads

    def forward(self, h, cosines, sines, mask, cache=None):
        eps = self.config.norm_eps
        mixed = self.attention(rms_norm(h, self.rms_norm, eps), cosines, sines, mask, cache)
        h = h + rms_norm(mixed, self.rms_norm_1, eps)
        y, balance_loss, router_z_loss, loads = self.experts(rms_norm(h, self.rms_norm_2, eps).flatten(0, 1))
        h = h + rms_norm(y.view(h.shape), self.rms_norm_3, eps)
        return h, balance_loss, router_z_loss, loads


@dataclass
class Losses:
    text: torch.Tensor  # nats per token
    balance: torch.Tensor
    router_z: torch.Tensor
    loads: torch.Tensor  # [num_layers, num_experts] share of the tokens


class Grok(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embeddings = nn.Parameter(torch.randn(config.vocab_size, config.d_model) * config.d_model**-0.5)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.final_norm = nn.Parameter(torch.ones(config.d_model))
        cosines, sines = rotation(config.context_length, config.head_dim, config.rope_base)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def hidden(self, ids, cache=None):
        """ids [B, T], the tokens that follow those in `cache`: a list of one dict a layer, or None."""
        num_past = cache[0]["keys"].shape[2] if cache and cache[0] else 0
        num_tokens = ids.shape[1]
        places = slice(num_past, num_past + num_tokens)
        mask = torch.full((num_tokens, num_past + num_tokens), -1e30, device=ids.device).triu(1 + num_past)

        h = F.embedding(ids, self.embeddings) * self.config.embedding_scale
        balance, router_z, loads = 0.0, 0.0, []
        for index, layer in enumerate(self.layers):
            h, layer_balance, layer_z, layer_loads = layer(
                h, self.cosines[places], self.sines[places], mask, cache[index] if cache else None
            )
            balance = balance + layer_balance / self.config.num_layers
            router_z = router_z + layer_z / self.config.num_layers
            loads.append(layer_loads)
        return h, balance, router_z, torch.stack(loads)

    def head(self, h):
        normed = rms_norm(h, self.final_norm, self.config.norm_eps)
        return (normed @ self.embeddings.t()).float() * self.config.logit_scale

    def losses(self, ids, targets) -> Losses:
        h, balance, router_z, loads = self.hidden(ids)
        return Losses(text_loss(self, h, targets), balance, router_z, loads)

    def next_logits(self, ids, cache):
        """Logits after the last of `ids`, [B, vocab_size]."""
        return self.head(self.hidden(ids, cache)[0][:, -1])
