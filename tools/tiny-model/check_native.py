"""Compares the native trainer with PyTorch on random rows, as python check_native.py [EXPORTED]; fails if they differ.

In float32 they are to agree to rounding. In bf16 the native gradients are to be about as far from those in float32 as
PyTorch's are.
"""

import sys
from pathlib import Path

import torch

from exported import read_exported
from model import Grok, ModelConfig
from muon import Muon
from native import NativeTrainer

FACTORS = (1.0, 0.02, 1e-4)  # of the text, balance and router losses
NUM_ROWS, CONTEXT = 2, 128


def gradients_of_pytorch(model, ids, targets, in_bf16):
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        losses = model.losses(ids, targets)
    total = sum(factor * loss for factor, loss in zip(FACTORS, (losses.text, losses.balance, losses.router_z)))
    return losses, torch.autograd.grad(total, list(model.parameters()))


def native_gradients(model, ids, targets, in_bf16):
    native = NativeTrainer(model, NUM_ROWS, in_bf16)
    native.set_weights()
    losses = native.add_gradients(ids, targets, *FACTORS)
    alone = native.losses(ids, targets)
    assert torch.equal(losses.text, alone.text) and torch.equal(losses.loads, alone.loads)
    native.take_gradients()
    return losses, [parameter.grad.clone() for parameter in model.parameters()]


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def check_muon(in_bf16: bool, tolerance: float) -> None:
    native = NativeTrainer(Grok(ModelConfig(num_layers=1, context_length=32)), 1, in_bf16)
    for shape in ((256, 256), (256, 128), (8, 256, 256)):
        stepped, expected = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
        gradient = torch.randn(shape)
        stepped.grad, expected.grad = gradient.clone(), gradient.clone()
        muon = Muon([expected], 0.05, torch.bfloat16 if in_bf16 else torch.float32)
        momentum = torch.zeros(shape)
        for _ in range(2):
            muon.step(0.02)
            native.step_muon(stepped, momentum, 0.02, 0.05)
        difference = max(relative(stepped, expected), relative(momentum, muon.momenta[0]))
        print(f"Muon {shape}, bf16 {in_bf16}: {difference:.1e}")
        if not difference < tolerance:
            sys.exit(f"expected at most {tolerance}")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = read_exported(Path(sys.argv[1])) if len(sys.argv) > 1 else Grok(ModelConfig())
    cut = Grok(ModelConfig(context_length=CONTEXT))
    cut.load_state_dict(model.state_dict())
    ids = torch.randint(4096, (NUM_ROWS, CONTEXT + 1))
    ids, targets = ids[:, :-1], ids[:, 1:]

    exact_losses, exact = gradients_of_pytorch(cut, ids, targets, False)
    names = [name for name, _ in cut.named_parameters()]
    for in_bf16 in (False, True):
        losses, found = native_gradients(cut, ids, targets, in_bf16)
        limits = [2e-5] * len(names)
        if in_bf16:
            _, rounded = gradients_of_pytorch(cut, ids, targets, True)
            limits = [max(1e-2, 1.5 * relative(ours, true)) for ours, true in zip(rounded, exact)]
        for loss in ("text", "balance", "router_z"):
            native, expected = (getattr(of, loss).item() for of in (losses, exact_losses))
            print(f"{loss}, bf16 {in_bf16}: {native:.6f}, {expected:.6f}")
        errors = [relative(ours, true) for ours, true in zip(found, exact)]
        for name, error, limit in zip(names, errors, limits):
            if name.startswith("layers.0") or "." not in name or not error < limit:
                print(f"{name}, bf16 {in_bf16}: {error:.1e}, limit {limit:.1e}{'' if error < limit else ' FAILED'}")
        if not all(error < limit for error, limit in zip(errors, limits)):
            sys.exit("the gradients differ")
        check_muon(in_bf16, 3e-2 if in_bf16 else 1e-5)


if __name__ == "__main__":
    main()
