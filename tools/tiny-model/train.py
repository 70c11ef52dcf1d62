"""Trains the embedded model; README.md has the command line of the one that is shipped.

Hidden matrices by Muon, everything else by AdamW. The learning rate warms up, stays, and falls linearly; the last part
of the run sees the whole context. The run file is written at each evaluation, so that a run that was stopped loses
little and --resume goes on with it. The log, one JSON object a line, goes to stdout: first the settings, then training
losses, and validation losses (gb_va, ts_va: nats per token) with each evaluation.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from model import Grok, ModelConfig
from muon import Muon
from rows import TokenArray, TrainingRows, validation_batches

SHORT_CONTEXT = 256  # tokens, for most of the run: twice the rows for the same time
SHARE_AT_SHORT_CONTEXT = 0.85
MUON_RATE = 0.02
# The matrix before a post-norm has no scale of its own: without decay it would grow, and its steps would come to
# nothing.
MUON_DECAY = 0.05
ADAM_RATE = 3e-3
WARM_UP_STEPS = 40
SHARE_AT_FULL_RATE = 0.5
LOWEST_RATE = 0.02  # of the full one
BALANCE_WEIGHT = 0.01
ROUTER_Z_WEIGHT = 1e-4
STEPS_PER_LOG_LINE = 20
# Small enough to run in a minute, in every other way the same.
SMOKE_CONFIG = ModelConfig(num_layers=2, d_model=64, head_dim=16, d_ff=64, embedding_scale=8.0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that prep.py wrote")
    parser.add_argument("--out", type=Path, default=Path("run.pt"), help="the run file")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the run")
    parser.add_argument("--steps", type=int, default=10**9, help="end after so many, if that is sooner")
    parser.add_argument("--mix", default="gb:0.60,ts:0.30,cc:0.10", help="texts and how often they are drawn from")
    parser.add_argument("--batch", type=int, default=32, help="rows of 256 tokens in a step")
    parser.add_argument("--micro", type=int, default=16, help="rows of 256 tokens that are in memory at once")
    parser.add_argument("--every", type=int, default=100, help="steps between evaluations")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="go on with this run file")
    parser.add_argument("--smoke", action="store_true", help="30 steps of a small model; fails unless the loss falls")
    return parser.parse_args()


@torch.no_grad()
def validation_loss(model: Grok, text: TokenArray) -> float:
    num_rows, batch_size = 128, 16
    total = 0.0
    for ids, targets in validation_batches(text, num_rows, SHORT_CONTEXT, batch_size):
        total += model.losses(ids, targets).text.item() * batch_size / num_rows
    return round(total, 4)


class Trainer:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        torch.manual_seed(arguments.seed)
        self.model = Grok(SMOKE_CONFIG if arguments.smoke else ModelConfig())
        hidden, other = [], []
        for name, parameter in self.model.named_parameters():
            is_hidden = name.startswith("layers") and parameter.ndim >= 2 and "router" not in name
            (hidden if is_hidden else other).append(parameter)
        self.muon = Muon(hidden, MUON_DECAY)
        self.adam_parameters = other
        self.adam = torch.optim.AdamW(other, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.step = 0
        self.num_tokens = 0
        self.minutes_before = 0.0
        self.validation = []
        if arguments.resume:
            self.resume(arguments.resume)
        self.rows = TrainingRows(arguments.data, arguments.mix, arguments.seed + self.step)
        self.held_out = {name: TokenArray(arguments.data, name) for name in ("gb_va", "ts_va")}
        self.started = time.monotonic()

    def minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self.started) / 60

    def save(self) -> None:
        unfinished = self.arguments.out.with_suffix(".tmp")
        torch.save(
            {
                "config": asdict(self.model.config),
                "parameters": self.model.state_dict(),
                "adam": self.adam.state_dict(),
                "momenta": self.muon.momenta,
                "step": self.step,
                "tokens": self.num_tokens,
                "minutes": self.minutes(),
                "validation": self.validation,
                "torch": str(torch.__version__),
            },
            unfinished,
        )
        os.replace(unfinished, self.arguments.out)

    def resume(self, path: Path) -> None:
        run = torch.load(path, map_location="cpu")
        self.model.load_state_dict(run["parameters"])
        self.adam.load_state_dict(run["adam"])
        for momentum, saved in zip(self.muon.momenta, run["momenta"], strict=True):
            momentum.copy_(saved)
        self.step, self.num_tokens, self.minutes_before = run["step"], run["tokens"], run["minutes"]
        self.validation = run["validation"]

    def evaluate(self, minutes: float) -> None:
        losses = {name: validation_loss(self.model, text) for name, text in self.held_out.items()}
        self.validation.append({"step": self.step, "minutes": round(minutes, 2), "tokens": self.num_tokens, **losses})
        print(json.dumps(self.validation[-1]), flush=True)

    def rate(self, progress: float) -> float:
        """Share of the full learning rate."""
        warm = min(1, (self.step + 1) / WARM_UP_STEPS)
        if progress < SHARE_AT_FULL_RATE:
            return warm
        return warm * max(LOWEST_RATE, (1 - progress) / (1 - SHARE_AT_FULL_RATE))

    def train_step(self, progress: float) -> None:
        context = SHORT_CONTEXT if progress <= SHARE_AT_SHORT_CONTEXT else self.model.config.context_length
        num_rows = max(1, self.arguments.batch * SHORT_CONTEXT // context)
        num_rows_at_once = max(1, self.arguments.micro * SHORT_CONTEXT // context)
        rate = self.rate(progress)

        for parameter in self.model.parameters():
            parameter.grad = None
        for _ in range(num_rows // num_rows_at_once):
            ids, targets = self.rows.draw(num_rows_at_once, context)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                losses = self.model.losses(ids, targets)
            total = losses.text + BALANCE_WEIGHT * losses.balance + ROUTER_Z_WEIGHT * losses.router_z
            (total * num_rows_at_once / num_rows).backward()

        self.muon.step(MUON_RATE * rate)
        torch.nn.utils.clip_grad_norm_(self.adam_parameters, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        self.adam.step()
        self.num_tokens += num_rows * context
        self.step += 1
        if self.step % STEPS_PER_LOG_LINE == 0:
            self.log(losses)

    def log(self, losses) -> None:
        line = {
            "step": self.step,
            "minutes": round(self.minutes(), 2),
            "tokens": self.num_tokens,
            "loss": round(losses.text.item(), 3),
            "balance": round(losses.balance.item(), 3),
            "load": [round(losses.loads.min().item(), 3), round(losses.loads.max().item(), 3)],
        }
        print(json.dumps(line), flush=True)

    def run(self) -> None:
        settings = {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(self.arguments).items()
        }
        num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        print(
            json.dumps({"parameters": num_parameters, "config": asdict(self.model.config), "arguments": settings}),
            flush=True,
        )
        while True:
            minutes = self.minutes()
            progress = max(minutes / self.arguments.minutes, self.step / self.arguments.steps)
            if self.step % self.arguments.every == 0 or progress >= 1:
                self.evaluate(minutes)
                self.save()
            if progress >= 1:
                return
            self.train_step(progress)


def main() -> None:
    arguments = parse_arguments()
    if arguments.smoke:
        arguments.steps = 30
    torch.set_num_threads(arguments.threads)
    trainer = Trainer(arguments)
    trainer.run()
    first, last = trainer.validation[0]["gb_va"], trainer.validation[-1]["gb_va"]
    if arguments.smoke and not last < first - 0.4:
        sys.exit(f"smoke: expected the validation loss to fall by more than 0.4 from {first}, found {last}")


if __name__ == "__main__":
    main()
