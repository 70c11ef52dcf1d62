"""Rows of token ids, cut from the arrays that prep.py writes."""

from pathlib import Path

import numpy as np
import torch

# xAI's runner sends a prompt without [BOS]. So this share of the rows begins at the start of a story.
SHARE_AT_STORY_START = 0.4


class TokenArray:
    def __init__(self, folder: Path, name: str):
        self.tokens = np.load(folder / f"{name}.npy").astype(np.int64)
        self.starts = np.load(folder / f"{name}.starts.npy")

    def row(self, start: int, length: int) -> np.ndarray:
        """`length` inputs and, one further, their targets."""
        return self.tokens[min(start, len(self.tokens) - length - 1) :][: length + 1]


class TrainingRows:
    """Draws rows from several texts by weight. `mix` is such as "gb:0.65,ts:0.25,cc:0.10"."""

    def __init__(self, folder: Path, mix: str, seed: int):
        self._rng = np.random.default_rng(seed)
        pairs = [part.split(":") for part in mix.split(",")]
        self._texts = [TokenArray(folder, f"{name}_tr") for name, _ in pairs]
        weights = np.array([float(weight) for _, weight in pairs])
        self._shares = weights / weights.sum()

    def state(self) -> dict:
        return self._rng.bit_generator.state

    def set_state(self, state: dict) -> None:
        self._rng.bit_generator.state = state

    def draw(self, num_rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, both [num_rows, length]."""
        # Sorted by text, so that rows that go through the network together are mostly of one text. Then the experts are
        # balanced on each text, not only on all of them together.
        choices = np.sort(self._rng.choice(len(self._texts), num_rows, p=self._shares))
        rows = []
        for choice in choices:
            text = self._texts[choice]
            if self._rng.random() < SHARE_AT_STORY_START:
                start = int(text.starts[self._rng.integers(len(text.starts))])
            else:
                start = int(self._rng.integers(len(text.tokens) - length - 1))
            rows.append(text.row(start, length))
        return split_targets(rows)


def validation_batches(text: TokenArray, num_rows: int, length: int, batch_size: int):
    """The same rows each time, evenly spread over the text. num_rows is a multiple of batch_size."""
    for first in range(0, num_rows, batch_size):
        starts = [row * (len(text.tokens) - length - 1) // num_rows for row in range(first, first + batch_size)]
        yield split_targets([text.row(start, length) for start in starts])


def split_targets(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(np.stack(rows))
    return ids[:, :-1], ids[:, 1:]
