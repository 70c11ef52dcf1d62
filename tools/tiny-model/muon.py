"""Muon: momentum whose steps are orthogonal matrices.

Source: Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

import torch

NEWTON_SCHULZ_STEPS = 4
MOMENTUM = 0.95


def orthogonalise(matrices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The nearest matrices with singular values of about 1, by a quintic Newton-Schulz iteration.

    A stack [experts, d_in, d_out] is taken matrix by matrix. `dtype` is that of the products; bf16 is precise enough.
    """
    x = (matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.transpose(-1, -2)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * (gram @ gram)) @ x
    if is_tall:
        x = x.transpose(-1, -2)
    return x.to(matrices.dtype)


class Muon:
    def __init__(self, parameters: list[torch.nn.Parameter], weight_decay: float, dtype: torch.dtype):
        self.parameters = parameters
        self.weight_decay = weight_decay
        self.dtype = dtype
        self.momenta = [torch.zeros_like(parameter) for parameter in parameters]

    def step(self, learning_rate: float, map_over=map, update=None) -> None:
        """`map_over` is map(), or one like it that spreads the matrices over threads. `update` replaces update()."""

        def step_of(parameter, momentum):
            (update or self.update)(parameter, momentum, learning_rate, self.weight_decay)

        list(map_over(step_of, self.parameters, self.momenta))

    @torch.no_grad()
    def update(self, parameter, momentum, learning_rate: float, weight_decay: float) -> None:
        momentum.mul_(MOMENTUM).add_(parameter.grad)
        direction = orthogonalise(parameter.grad + MOMENTUM * momentum, self.dtype)  # Nesterov
        d_in, d_out = parameter.shape[-2:]
        parameter.mul_(1 - learning_rate * weight_decay)
        parameter.add_(direction, alpha=-learning_rate * max(1.0, d_in / d_out) ** 0.5)
