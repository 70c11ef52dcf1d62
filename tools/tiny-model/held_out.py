"""Losses on the held-out texts, the same rows each time, so that all figures of a model can be compared."""

import math

import torch

from rows import TokenArray, validation_batches

HELD_OUT = ("gb_va", "ts_va")
NUM_ROWS = 160  # of the whole context length, from each text
BATCH_SIZE = 4


@torch.no_grad()
def held_out_loss(
    losses_of, text: TokenArray, context: int, num_rows=NUM_ROWS, map_over=map
) -> tuple[float, torch.Tensor]:
    """Nats per token, and the loads [num_layers, num_experts].

    `losses_of` takes ids and targets. `map_over` is map(), or one like it that spreads the batches over threads.
    """

    def losses(batch):
        with torch.no_grad():  # applies to this thread only
            return losses_of(*batch)

    batches = validation_batches(text, num_rows, context, BATCH_SIZE)
    results = list(map_over(losses, batches))
    nats = sum(result.text.item() for result in results) / len(results)
    return nats, sum(result.loads for result in results) / len(results)


def bits_per_character(nats_per_token: float, characters_per_token: float) -> float:
    return nats_per_token / math.log(2) / characters_per_token
