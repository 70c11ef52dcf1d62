"""Times PyTorch on the same work, for comparison with grok-run: one line of JSON for each measurement.

    torch_peers.py [--out FILE] [--device cuda|cpu] [--small] GROUP...

Every output is first compared with float64 on a small case. On a GPU the calls are captured in a graph, over more sets of
inputs than fit the cache. A group that this PyTorch cannot run is reported, and the next one runs.
Routing is drawn: every token goes to two experts of eight, and which is the same in all peers.
"""

import argparse
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"SKIPPED: no PyTorch ({error}): neither limits nor peers")
    sys.exit(1)

CACHE_BYTES = 200e6  # size that the inputs of one round must exceed, several times the L2 of any GPU so far
TOKENS = (1, 2, 4, 8, 16, 64)
CONTEXTS = ((1, 128), (1, 1024), (1, 8192), (8, 1024), (8, 8192), (64, 1024))  # sequences, positions
EXPERTS, EXPERTS_PER_TOKEN = 8, 2


class Shapes:
    """Grok-1's widths, or small ones for a machine without a GPU."""

    def __init__(self, small):
        self.d_model, self.d_ff, self.vocab_size = (64, 96, 512) if small else (6144, 32768, 131072)
        self.q_heads, self.kv_heads, self.head_dim = (4, 2, 16) if small else (48, 8, 128)


class Bench:
    def __init__(self, out, device, small):
        self.out, self.device, self.small = out, device, small
        self.shapes = Shapes(small)
        self.dtype = torch.bfloat16
        self.generator = torch.Generator(device=device).manual_seed(1)

    def normal(self, *shape, dtype=None, scale=1.0):
        values = torch.randn(*shape, device=self.device, generator=self.generator, dtype=torch.float32)
        return (values * scale).to(dtype or self.dtype)

    def weight(self, *shape):
        """Like `normal`, created in place: eight experts in float32 would not fit beside them."""
        values = torch.empty(*shape, device=self.device, dtype=self.dtype)
        return values.normal_(generator=self.generator).mul_(shape[-1] ** -0.5)

    def sets(self, size_bytes):
        """The number of input sets of this size that exceeds the cache."""
        return 2 if self.small else max(1, int(-(-CACHE_BYTES // size_bytes)))

    def time(self, calls, reps=30):
        """Microseconds per call: medians over replays of a graph of all calls in turn."""
        if self.device == "cpu":
            samples = []
            for _ in range(3):
                start = time.perf_counter()
                for call in calls:
                    call()
                samples.append((time.perf_counter() - start) * 1e6 / len(calls))
            return sorted(samples)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # compilation and allocation of the first call are not captured
            for _ in range(3):
                for call in calls:
                    call()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = [call() for call in calls]
        for _ in range(3):
            graph.replay()
        samples = []
        for _ in range(reps):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            samples.append(begin.elapsed_time(end) * 1e3 / len(calls))
        del kept, graph
        return sorted(samples)

    def measure(self, group, calls, bytes_read, **what):
        samples = self.time(calls)
        median = statistics.median(samples)
        at = lambda share: samples[round(share * (len(samples) - 1))]
        line = {
            "group": group, **what, "us": round(median, 3), "p10": round(at(0.1), 3), "p90": round(at(0.9), 3),
            "bytes": int(bytes_read), "gb_per_s": round(bytes_read / median * 1e-3, 1),
        }
        if self.out:
            print(json.dumps(line), file=self.out, flush=True)
        print(json.dumps(line), flush=True)


def expect_near(name, found, expected, tolerance):
    distance = (found.double() - expected.double()).norm() / expected.double().norm()
    if not distance <= tolerance:  # also true for NaN
        raise AssertionError(f"{name}: {distance:.2e} from float64, more than {tolerance:.0e}")


# ---------------------------------------------------------------- limits


def limits(bench):
    """Bytes a second of copying (read and written) and of reading alone; bf16 multiplications of large matrices."""
    size = (1 << 20) if bench.small else (1 << 30)  # floats
    source = bench.normal(size, dtype=torch.float32)
    target = torch.empty_like(source)
    bench.measure("limits", [lambda: target.copy_(source)], 8 * size, name="copy")
    rows = source.view(-1, 1 << 14)
    expect_near("read", rows[:8].sum(1), rows[:8].double().sum(1), 1e-4)
    bench.measure("limits", [lambda: rows.sum(1)], 4 * size, name="read")
    del source, target, rows
    width = 256 if bench.small else 8192
    a, b = bench.normal(width, width), bench.normal(width, width)
    bench.measure("limits", [lambda: a @ b], 3 * 2 * width**2, name="bf16 matmul", macs=width**3)
    # An almost empty kernel within a graph: the cost of a launch.
    one = bench.normal(1)
    bench.measure("limits", [lambda: one.add_(0)] * 100, 0, name="launch")


# ---------------------------------------------------------------- products


def linear(bench):
    """cuBLAS on bf16 weights, twice the bytes of int8: the cost of products with dequantized weights."""
    s = bench.shapes
    widths = {
        "qkv": ((s.q_heads + 2 * s.kv_heads) * s.head_dim, s.d_model),
        "attention_out": (s.d_model, s.q_heads * s.head_dim),
        "logits": (s.vocab_size, s.d_model),
        "expert gate": (s.d_ff, s.d_model),
        "expert down": (s.d_model, s.d_ff),
    }
    x, w = bench.normal(3, 64), bench.weight(32, 64)
    expect_near("linear", F.linear(x, w), x.double() @ w.double().T, 1e-2)
    for operation, (rows, columns) in widths.items():
        size = 2 * rows * columns
        weights = [bench.weight(rows, columns) for _ in range(bench.sets(size))]
        for tokens in TOKENS:
            x = bench.normal(tokens, columns)
            calls = [lambda w=w: F.linear(x, w) for w in weights]
            bench.measure("linear", calls, size, operation=operation, tokens=tokens)


class Experts:
    """The weights of eight experts: gate and up [experts, d_ff, d_model], down [experts, d_model, d_ff]."""

    def __init__(self, bench, d_model, d_ff):
        self.gate, self.up = (bench.weight(EXPERTS, d_ff, d_model) for _ in range(2))
        self.down = bench.weight(EXPERTS, d_model, d_ff)

    def quantized(self):
        """int8 and a scale for each output."""
        for name in ("gate", "up", "down"):
            weight = getattr(self, name)
            scales = torch.stack([w.abs().amax(1, keepdim=True).float() / 127 for w in weight])
            values = torch.stack([(w / s).round_().to(torch.int8) for w, s in zip(weight, scales)])
            setattr(self, name, values)
            setattr(self, name + "_scales", scales.squeeze(2).to(weight.dtype))
        return self


def routed(bench, tokens):
    """Two different experts and gates for each token."""
    scores = torch.rand(tokens, EXPERTS, device=bench.device, generator=bench.generator)
    gates, chosen = scores.topk(EXPERTS_PER_TOKEN)
    return chosen, gates


def gelu(values):
    return F.gelu(values, approximate="tanh")


def experts_in_float64(x, weights, chosen, gates):
    out = torch.zeros_like(x, dtype=torch.float64)
    for token in range(x.shape[0]):
        for expert, gate in zip(chosen[token], gates[token]):
            row = x[token].double()
            hidden = gelu(weights.gate[expert].double() @ row) * (weights.up[expert].double() @ row)
            out[token] += gate.double() * (weights.down[expert].double() @ hidden)
    return out


def by_loop(x, weights, chosen, gates):
    """Each distinct expert once, over its tokens. The host knows the experts, unlike with a real router."""
    out = torch.zeros_like(x)
    for expert, tokens, places in by_loop.groups:
        rows = x[tokens]
        hidden = gelu(F.linear(rows, weights.gate[expert])) * F.linear(rows, weights.up[expert])
        out.index_add_(0, tokens, F.linear(hidden, weights.down[expert]) * gates[tokens, places, None].to(x.dtype))
    return out


def group_tokens(chosen):
    by_loop.groups = []
    for expert in sorted(set(chosen.flatten().tolist())):
        tokens, places = (chosen == expert).nonzero(as_tuple=True)
        by_loop.groups.append((expert, tokens, places))


def gathered(x, weights, chosen, gates):
    """Like gpt-fast: gathers the chosen experts' weights by index; the compiler fuses that into the product."""
    hidden = gelu(torch.einsum("ti,taoi->tao", x, weights.gate[chosen])) * torch.einsum(
        "ti,taoi->tao", x, weights.up[chosen])
    out = torch.einsum("tao,taio->tai", hidden, weights.down[chosen])
    return torch.einsum("tai,ta->ti", out, gates.to(x.dtype))


def gathered_int8(x, weights, chosen, gates):
    def product(equation, x, name):
        values, scales = getattr(weights, name)[chosen], getattr(weights, name + "_scales")[chosen]
        return torch.einsum(equation, x, values.to(x.dtype)) * scales

    hidden = gelu(product("ti,taoi->tao", x, "gate")) * product("ti,taoi->tao", x, "up")
    out = product("tao,taio->tai", hidden, "down")
    return torch.einsum("tai,ta->ti", out, gates.to(x.dtype))


def measure_experts(bench, group, function, bytes_per_weight, quantize=False, most_tokens=64):
    s = bench.shapes
    small = Experts(bench, 64, 96)
    x = bench.normal(4, 64)
    chosen, gates = routed(bench, 4)
    group_tokens(chosen)
    expected = experts_in_float64(x, small, chosen, gates)
    expect_near(group, function(x, small.quantized() if quantize else small, chosen, gates), expected, 2e-2)

    weights = Experts(bench, s.d_model, s.d_ff)
    if quantize:
        weights.quantized()
    for tokens in (t for t in TOKENS if t <= most_tokens):
        x = bench.normal(tokens, s.d_model)
        chosen, gates = routed(bench, tokens)
        group_tokens(chosen)
        num_distinct = len(by_loop.groups)
        size = bytes_per_weight * 3 * num_distinct * s.d_model * s.d_ff
        bench.measure(group, [lambda: function(x, weights, chosen, gates)], size, operation="experts", tokens=tokens,
                      num_distinct=num_distinct)


def experts(bench):
    measure_experts(bench, "experts", by_loop, 2)


# Gathering for more tokens reads experts again for each token: above 4 tokens the loop is the better peer.


def compiled_experts(bench):
    measure_experts(bench, "compiled_experts", torch.compile(gathered, dynamic=False), 2, most_tokens=4)


def int8_experts(bench):
    measure_experts(bench, "int8_experts", torch.compile(gathered_int8, dynamic=False), 1, quantize=True, most_tokens=4)


# ---------------------------------------------------------------- attention, sampling, norm


def attention(bench):
    """Decode: one query a sequence. flex_attention with the softcap of 30, and SDPA without it as a lower bound."""
    from torch.nn.attention.flex_attention import flex_attention

    s = bench.shapes

    def softcap(score, batch, head, query, key):
        return 30 * torch.tanh(score / 30)

    scale = 0.08838834764831845  # Grok-1's attention multiplier
    flex = torch.compile(flex_attention, dynamic=False)

    def with_softcap(q, k, v):
        return flex(q, k, v, score_mod=softcap, scale=scale, enable_gqa=True)

    def without(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=True)

    group = s.q_heads // s.kv_heads
    for name, function in (("flex_attention", with_softcap), ("sdpa", without)):
        q = bench.normal(1, s.q_heads, 1, s.head_dim, scale=4.0)
        k, v = (bench.normal(1, s.kv_heads, 128, s.head_dim, scale=4.0) for _ in range(2))
        scores = q.double() @ k.double().repeat_interleave(group, 1).transpose(2, 3) * scale
        scores = 30 * torch.tanh(scores / 30) if name == "flex_attention" else scores
        expect_near(name, function(q, k, v), scores.softmax(3) @ v.double().repeat_interleave(group, 1), 2e-2)
        for sequences, positions in CONTEXTS:
            if bench.small:
                positions = 128
            size = 2 * 2 * sequences * positions * s.kv_heads * s.head_dim
            caches = [
                [bench.normal(sequences, s.kv_heads, positions, s.head_dim) for _ in range(2)]
                for _ in range(min(bench.sets(size), 50))
            ]
            q = bench.normal(sequences, s.q_heads, 1, s.head_dim)
            calls = [lambda k=k, v=v: function(q, k, v) for k, v in caches]
            bench.measure("attention", calls, size, operation="attention", name=name, sequences=sequences,
                          positions=positions)


def sampling(bench):
    """Top-p by sorting, the usual way."""

    def sample(logits, uniform):
        probabilities, tokens = (logits / 0.7).softmax(1).sort(1, descending=True)
        before = probabilities.cumsum(1) - probabilities
        kept = torch.where(before < 0.9, probabilities, 0).cumsum(1)
        return tokens.gather(1, torch.searchsorted(kept, uniform * kept[:, -1:], right=True))

    # Three of four tokens are likely, and the last of them is past top-p. Draws at both ends take the first and the
    # last kept token.
    logits = 0.7 * torch.tensor([[0.02, 0.5, 0.18, 0.3]] * 2, device=bench.device).log()
    uniform = torch.tensor([[0.0], [0.999]], device=bench.device)
    if sample(logits, uniform).flatten().tolist() != [1, 2]:
        raise AssertionError("sampling: not the tokens of a small case")
    for rows in (1, 8, 64):
        logits = bench.normal(rows, bench.shapes.vocab_size, dtype=torch.float32, scale=3.0)
        uniform = torch.rand(rows, 1, device=bench.device, generator=bench.generator)
        bench.measure("sampling", [lambda: sample(logits, uniform)], logits.numel() * 4, operation="sample", rows=rows)


def norm_router(bench):
    """A residual added, normed twice, and the router: compiled into as few kernels as it can."""
    s = bench.shapes

    def run(residual, x, scales, router):
        def norm(values, scale):
            return values * torch.rsqrt(values.square().mean(1, keepdim=True) + 1e-5) * scale

        residual = residual + norm(x, scales[0])
        normed = norm(residual, scales[1])
        return residual, normed, (normed @ router.T).softmax(1).topk(EXPERTS_PER_TOKEN)

    compiled = torch.compile(run, dynamic=False)
    scales = bench.normal(2, s.d_model, dtype=torch.float32)
    router = bench.normal(EXPERTS, s.d_model, dtype=torch.float32, scale=0.02)
    for tokens in TOKENS:
        residual, x = (bench.normal(tokens, s.d_model, dtype=torch.float32) for _ in range(2))
        expected = run(residual.double(), x.double(), scales.double(), router.double())
        expect_near("norm_router", compiled(residual, x, scales, router)[1], expected[1], 1e-5)
        bench.measure("norm_router", [lambda: compiled(residual, x, scales, router)], 5 * 4 * tokens * s.d_model,
                      operation="norm_router", tokens=tokens)


GROUPS = {f.__name__: f for f in (limits, linear, experts, compiled_experts, int8_experts, attention, sampling,
                                  norm_router)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="a file to add the lines to")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="small shapes, to try this out")
    parser.add_argument("groups", nargs="+", choices=list(GROUPS), metavar="GROUP")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("SKIPPED: PyTorch finds no CUDA device: neither limits nor peers")
        return 77
    failed = False
    with open(options.out, "a") if options.out else open("/dev/null", "w") as out:
        bench = Bench(out, options.device, options.small)
        for name in options.groups:
            try:
                with torch.inference_mode():
                    GROUPS[name](bench)
            except Exception as error:  # one peer's failure must not stop the others
                failed = True
                print(f"NOT MEASURED: {name}: {type(error).__name__}: {error}".splitlines()[0], flush=True)
            finally:
                torch.cuda.empty_cache()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
