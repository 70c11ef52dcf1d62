"""Losses, gradients and steps of Muon by the C++ code in trainer/, for a CPU with AVX-512 and AMX.

The library is compiled on first use, for the machine at hand.
"""

import ctypes
import subprocess
from pathlib import Path

import torch

from model import Grok, Losses, ModelConfig

FOLDER = Path(__file__).parent / "trainer"
LIBRARY = FOLDER / "build" / "trainer.so"
COMPILER = "g++ -std=c++20 -O3 -march=native -ffp-contract=fast -fno-math-errno -shared -fPIC".split()
LAYER_PARAMETERS = (
    "query key value linear router moe_linear moe_linear_v moe_linear_1 rms_norm rms_norm_1 rms_norm_2 rms_norm_3"
).split()


def load_library() -> ctypes.CDLL:
    sources = [*FOLDER.glob("*.h"), *FOLDER.glob("*.cpp")]
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        LIBRARY.parent.mkdir(exist_ok=True)
        subprocess.run([*COMPILER, FOLDER / "trainer.cpp", "-o", LIBRARY], check=True)
    library = ctypes.CDLL(str(LIBRARY))
    size, real, pointer = ctypes.c_size_t, ctypes.c_float, ctypes.c_void_p
    library.trainer_create.restype = pointer
    library.trainer_create.argtypes = [size, size, size, ctypes.c_bool]
    library.trainer_set_weights.argtypes = [pointer] * 2
    library.trainer_losses.argtypes = [pointer, pointer, pointer, size, pointer]
    library.trainer_add_gradients.argtypes = [pointer, pointer, pointer, size, real, real, real, pointer]
    library.trainer_take_gradients.argtypes = [pointer] * 3
    library.trainer_step_muon.argtypes = [*[pointer] * 4, size, size, size, real, real]
    return library


def addresses(tensors: list[torch.Tensor]):
    assert all(tensor.is_contiguous() and tensor.dtype == torch.float32 for tensor in tensors)
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


class NativeTrainer:
    def __init__(self, model: Grok, most_rows: int, in_bf16: bool = True):
        config = model.config
        if config != ModelConfig(num_layers=config.num_layers, context_length=config.context_length):
            raise SystemExit("the native trainer has the sizes of the shipped model built in")
        self.config = config
        self.library = load_library()
        self.trainer = self.library.trainer_create(config.num_layers, most_rows, config.context_length, in_bf16)
        if not self.trainer:
            raise SystemExit("expected a CPU with AMX")
        layers = [getattr(layer, name) for layer in model.layers for name in LAYER_PARAMETERS]
        self.parameters = [model.embeddings, model.final_norm, *layers]

    def set_weights(self) -> None:
        self.library.trainer_set_weights(self.trainer, addresses(self.parameters))

    def _call(self, function, ids, targets, *factors) -> Losses:
        ids, targets = ids.contiguous(), targets.contiguous()
        result = torch.empty(3 + self.config.num_layers * self.config.num_experts)
        function(self.trainer, ids.data_ptr(), targets.data_ptr(), len(ids), *factors, result.data_ptr())
        return Losses(*result[:3], result[3:].view(self.config.num_layers, -1))

    def losses(self, ids: torch.Tensor, targets: torch.Tensor) -> Losses:
        """The losses of the weights given to the last set_weights()."""
        return self._call(self.library.trainer_losses, ids, targets)

    def add_gradients(self, ids, targets, text: float, balance: float, router_z: float) -> Losses:
        """Also adds the gradients of the losses times these factors."""
        return self._call(self.library.trainer_add_gradients, ids, targets, text, balance, router_z)

    def take_gradients(self) -> None:
        """Moves the sums of add_gradients() to the parameters' `grad`."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters]
        self.library.trainer_take_gradients(self.trainer, addresses(self.parameters), addresses(gradients))

    def step_muon(self, parameter, momentum, learning_rate: float, weight_decay: float) -> None:
        d_in, d_out = parameter.shape[-2:]
        self.library.trainer_step_muon(
            self.trainer,
            *(tensor.data_ptr() for tensor in (parameter, momentum, parameter.grad)),
            parameter.numel() // (d_in * d_out),
            d_in,
            d_out,
            learning_rate,
            weight_decay,
        )
