"""Writes and reads the files of xAI's ckpt-0. The format to the byte: docs/CHECKPOINT.md.

A file is one pickle: a float32 array, or a QuantizedWeight8bit of int8 weights and bf16 scales. Writing names classes
of numpy 1 and of ml_dtypes as xAI's files do, whichever numpy runs this. Reading executes nothing. bf16 numbers are
handled as their bits, uint16. `python ckpt0.py [CKPT0...]` compares the writer with measurements of the released
files, and against whole directories in the official framing.
"""

import io
import pickle
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# ---------------------------------------------------------------- names

# The leaves of a layer in the order of the files: sorted as strings.
SLOTS = (
    "moe/linear",
    "moe/linear_1",
    "moe/linear_v",
    "multi_head_attention/key",
    "multi_head_attention/linear",
    "multi_head_attention/query",
    "multi_head_attention/value",
    "rms_norm",
    "rms_norm_1",
    "rms_norm_2",
    "rms_norm_3",
    "router",
)
FLOAT_SLOTS = frozenset({"rms_norm", "rms_norm_1", "rms_norm_2", "rms_norm_3", "router"})
# Matrices that xAI split along their input over 8 devices: one row of scales for each.
NUM_SCALE_GROUPS = {"moe/linear_1": 8, "multi_head_attention/linear": 8}


def leaves(num_layers: int) -> list[tuple]:
    """The leaf of each file: ("embeddings",), ("final_norm",), then (layer, slot). Layer 10 comes before layer 2."""
    layers = sorted(range(num_layers), key=str)
    return [("embeddings",), ("final_norm",), *((layer, slot) for layer in layers for slot in SLOTS)]


def file_name(number: int) -> str:
    return f"tensor{number:05d}_000"


# ---------------------------------------------------------------- bf16


def bf16_bits(values: np.ndarray) -> np.ndarray:
    """Rounds to nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16_bits(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_to_bf16(values: np.ndarray) -> np.ndarray:
    return from_bf16_bits(bf16_bits(values))


# ---------------------------------------------------------------- int8


class QuantizedWeight8bit:
    def __init__(self, weight: np.ndarray, scales: np.ndarray):
        self.weight = weight  # int8 [num_experts?, d_in, d_out]
        self.scales = scales  # bf16 bits [num_experts?, num_groups, d_out]


def quantize(matrix: np.ndarray, num_groups: int) -> QuantizedWeight8bit:
    """Symmetric, one scale for each output and group of inputs.

    The scale is rounded to bf16 first and the integers are computed with the rounded one, so its rounding costs
    nothing; where rounding down would clip the largest weight it goes one step up.
    """
    *lead, d_in, d_out = matrix.shape
    groups = matrix.reshape(*lead, num_groups, d_in // num_groups, d_out)
    largest = np.abs(groups).max(axis=-2)
    scales = bf16_bits(np.where(largest > 0, largest / 127, 1))
    scales += (from_bf16_bits(scales) * 127.49 < largest).astype(np.uint16)
    weight = np.rint(groups / from_bf16_bits(scales)[..., None, :])
    return QuantizedWeight8bit(np.clip(weight, -127, 127).astype(np.int8).reshape(matrix.shape), scales)


def dequantize(stored: QuantizedWeight8bit) -> np.ndarray:
    """Exactly, in float32: a product of 8 and 8 significant bits."""
    *lead, d_in, d_out = stored.weight.shape
    num_groups = stored.scales.shape[-2]
    groups = stored.weight.reshape(*lead, num_groups, d_in // num_groups, d_out).astype(np.float32)
    return (groups * from_bf16_bits(stored.scales)[..., None, :]).reshape(stored.weight.shape)


# ---------------------------------------------------------------- writing


def _named(module: str, name: str) -> type:
    return type(name, (), {"__module__": module, "__qualname__": name})


_RECONSTRUCT = _named("numpy.core.multiarray", "_reconstruct")
_BFLOAT16 = _named("ml_dtypes", "bfloat16")
_QUANTIZED = _named("__main__", "QuantizedWeight8bit")


class _Bfloat16Dtype:
    def __reduce__(self):
        return np.dtype, (_BFLOAT16, False, True), (3, "<", None, None, None, 2, 2, 64)


_DTYPES = {
    np.dtype(np.float32): np.dtype("f4"),
    np.dtype(np.int8): np.dtype("i1"),
    np.dtype(np.uint16): _Bfloat16Dtype(),
}


class _Array:
    """Pickles as numpy 1 pickles an array. uint16 stands for bf16."""

    def __init__(self, values: np.ndarray):
        self.values = np.ascontiguousarray(values)

    def __reduce__(self):
        # numpy creates a new (0,) each time; the same object would be written as a reference.
        empty = tuple([0])
        state = (1, self.values.shape, _DTYPES[self.values.dtype], False, self.values.tobytes())
        return _RECONSTRUCT, (np.ndarray, empty, b"b"), state


@contextmanager
def _importable():
    """Makes a class importable by its name, which the pickler requires before it writes that name."""
    saved = {}
    for stand_in in (_RECONSTRUCT, _BFLOAT16, _QUANTIZED):
        module = stand_in.__module__
        saved[module] = sys.modules.get(module)
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], stand_in.__name__, stand_in)
    try:
        yield
    finally:
        for module, was in saved.items():
            if was is None:
                del sys.modules[module]
            else:
                sys.modules[module] = was


def pickled(leaf: np.ndarray | QuantizedWeight8bit) -> bytes:
    if isinstance(leaf, QuantizedWeight8bit):
        stored = _QUANTIZED()
        stored.weight = _Array(leaf.weight)
        stored.scales = _Array(leaf.scales)
    else:
        stored = _Array(leaf)
    # Written to a file and not by dumps(): like in xAI's files, the pickler of a file leaves large payloads outside
    # frames.
    out = io.BytesIO()
    with _importable():
        pickle.dump(stored, out, protocol=4)
    return out.getvalue()


def save(parameters: dict[tuple, np.ndarray], num_layers: int, directory: Path) -> None:
    """Writes float32 `parameters`, with the keys of leaves(), as ckpt-0."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, leaf in enumerate(leaves(num_layers)):
        values = np.ascontiguousarray(parameters[leaf], np.float32)
        slot = leaf[-1]
        if slot == "embeddings":
            # float32, as the layout requires, with bf16 values: they compress better, and xAI's code rounds them, too.
            stored = round_to_bf16(values)
        elif slot == "final_norm" or slot in FLOAT_SLOTS:
            stored = values
        else:
            stored = quantize(values, NUM_SCALE_GROUPS.get(slot, 1))
        (directory / file_name(number)).write_bytes(pickled(stored))


# ---------------------------------------------------------------- reading


class _ReadArray:
    def __setstate__(self, state):
        _, shape, dtype, is_fortran, payload = state
        if is_fortran:
            raise pickle.UnpicklingError("expected C order, found Fortran order")
        self.values = np.frombuffer(payload, dtype.numpy_type).reshape(shape)


class _ReadDtype:
    def __init__(self, kind, *_):
        self.numpy_type = {"f4": np.float32, "i1": np.int8, "bfloat16": np.uint16}[kind]

    def __setstate__(self, state):
        if state[1] == ">":
            raise pickle.UnpicklingError("expected little-endian numbers, found big-endian ones")


class _ReadQuantized:
    pass


class _Reader(pickle.Unpickler):
    def find_class(self, module, name):
        known = {
            "_reconstruct": lambda *_: _ReadArray(),
            "ndarray": None,
            "dtype": _ReadDtype,
            "bfloat16": "bfloat16",
            "QuantizedWeight8bit": _ReadQuantized,
        }
        if name not in known:
            raise pickle.UnpicklingError(f"expected one of {', '.join(known)}, found {module}.{name}")
        return known[name]


def load(path: Path) -> np.ndarray | QuantizedWeight8bit:
    with path.open("rb") as file:
        leaf = _Reader(file).load()
    if isinstance(leaf, _ReadArray):
        return leaf.values
    return QuantizedWeight8bit(leaf.weight.values, leaf.scales.values)


# ---------------------------------------------------------------- self-test


def check_sizes_of_released_files() -> None:
    """Sizes and payload offsets in Grok-1's own files, as measured by rmems/xai-dissect (docs/REFERENCES.md)."""
    numbers = np.random.default_rng(0)

    def f32(*shape):
        return numbers.standard_normal(shape).astype(np.float32)

    def quantized(d_in, d_out, num_groups):
        weight = numbers.integers(-127, 128, (d_in, d_out)).astype(np.int8)
        return QuantizedWeight8bit(weight, bf16_bits(np.abs(f32(num_groups, d_out)) + 1))

    cases = {
        "norm": (f32(6144), 24_727, [146]),
        "router": (f32(6144, 8), 196_770, [148]),
        "key": (quantized(6144, 1024, 1), 6_293_814, [199, 6_291_759]),
        "query": (quantized(6144, 6144, 1), 37_761_334, [199, 37_749_039]),
        "attention out": (quantized(6144, 6144, 8), 37_847_359, [199, 37_749_039]),
    }
    for name, (leaf, size, offsets) in cases.items():
        written = pickled(leaf)
        parts = [leaf.weight, leaf.scales] if isinstance(leaf, QuantizedWeight8bit) else [leaf]
        found = [written.find(part.tobytes()[:64]) for part in parts]
        if len(written) != size or found != offsets:
            sys.exit(f"{name}: expected {size} bytes, payloads at {offsets}; found {len(written)} bytes, {found}")
        print(f"{name}: {size} bytes, payloads at {offsets}")


def check_rewrites_alike(directory: Path) -> None:
    files = sorted(directory.glob("tensor*"))
    if not files:
        sys.exit(f"{directory}: expected tensor files, found none")
    for path in files:
        if pickled(load(path)) != path.read_bytes():
            sys.exit(f"{path}: expected to write it again byte by byte, found a difference")
    print(f"{directory}: {len(files)} files written again byte by byte")


def check_quantisation() -> None:
    matrix = np.random.default_rng(0).standard_normal((3, 64, 40)).astype(np.float32)
    matrix[0, :8, 0] = 0
    for num_groups in (1, 8):
        stored = quantize(matrix, num_groups)
        steps = np.repeat(from_bf16_bits(stored.scales), 64 // num_groups, axis=-2)
        worst = np.abs((dequantize(stored) - matrix) / steps).max()
        if not worst < 0.501:
            sys.exit(f"quantize, {num_groups} groups: expected errors of at most half a step, found {worst}")


if __name__ == "__main__":
    check_quantisation()
    check_sizes_of_released_files()
    for argument in sys.argv[1:]:
        check_rewrites_alike(Path(argument))
