"""Trains the embedded model; README.md has the command line of the shipped one.

Hidden matrices by Muon, everything else by AdamW. The learning rate warms up, stays, and falls linearly over the last
--decay tokens. All of this goes by tokens, so a paused or a slow run trains the same model. --tokens can be changed on
--resume, to stay at the full rate for longer or to begin the fall at once.

--init starts from the weights of an exported model, and counts tokens and time on from its training-log.jsonl. Only the
weights go on: the optimisers start anew, with a warm-up.

The run file holds everything that the next step depends on. It is written every --save-minutes, at each evaluation and
on SIGTERM. A run resumed from it computes the same weights as one that never stopped. The log has one JSON object a
line: settings, training losses, and at each evaluation nats per token and bits per character of the held-out texts
(gb_va, ts_va). "averaged" marks the losses of the averaged weights.
"""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

import model as network
from exported import read_exported
from held_out import BATCH_SIZE, HELD_OUT, NUM_ROWS, bits_per_character, held_out_loss
from model import Grok, ModelConfig
from muon import Muon
from native import NativeTrainer
from rows import TokenArray, TrainingRows

MUON_RATE = 0.02
# The matrix before a post-norm has no scale of its own. Without decay it would grow, and its steps would have no
# effect.
MUON_DECAY = 0.05
ADAM_RATE = 3e-3
WARM_UP_STEPS = 40
LOWEST_RATE = 0.02  # of the full rate
BALANCE_WEIGHT = 0.02
ROUTER_Z_WEIGHT = 1e-4
# Per step; the average spans about 4 M tokens at the default batch. In the middle of a run its loss predicts roughly
# the loss after the decay of the rate.
AVERAGING = 0.998
STEPS_PER_LOG_LINE = 20
# Small enough to run in a minute, and otherwise the same.
SMOKE_CONFIG = ModelConfig(num_layers=2, d_model=64, head_dim=16, d_ff=64, embedding_scale=8.0)
SMOKE_TOKENS = 30 * 16 * 512
SMOKE_ROWS = 16  # of each held-out text


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that prep.py wrote")
    parser.add_argument("--out", type=Path, default=Path("run.pt"), help="the run file")
    parser.add_argument("--log", type=Path, default=Path("training-log.jsonl"))
    parser.add_argument("--tokens", type=float, default=60e6, help="length of the run")
    parser.add_argument("--decay", type=float, default=12e6, help="the last tokens, over which the rate falls")
    parser.add_argument("--steps", type=int, default=10**9, help="stop after this step; --resume goes on")
    parser.add_argument("--mix", default="ts:0.70,gb:0.25,cc:0.05", help="texts and how often they are drawn from")
    parser.add_argument("--batch", type=int, default=16, help="rows of 512 tokens in a step")
    parser.add_argument("--micro", type=int, default=4, help="rows that a worker takes at once")
    parser.add_argument("--every", type=int, default=200, help="steps between evaluations")
    parser.add_argument("--save-minutes", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1, help="threads, each with rows of its own")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bf16; needs instructions for it")
    parser.add_argument("--native", action="store_true", help="gradients in bf16 by trainer/; needs a CPU with AMX")
    parser.add_argument("--compile", action="store_true", help="fuse element-wise work by torch.compile")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--init", type=Path, help="exported model to start from; --data has its tokenizer")
    parser.add_argument("--resume", action="store_true", help="go on with the run file")
    parser.add_argument("--smoke", action="store_true", help="30 steps of a small model; fails unless the loss falls")
    return parser.parse_args()


def give_back_memory() -> None:
    """Returns the free memory of jemalloc, if it is preloaded, to the system.

    README.md tells jemalloc to keep freed memory, because otherwise each step faults in gigabytes anew. Without this
    call a long run grew to 13 GB.
    """
    mallctl = getattr(ctypes.CDLL(None), "mallctl", None)
    if mallctl:
        mallctl(b"arena.4096.purge", None, None, None, ctypes.c_size_t(0))  # 4096: all arenas


class Trainer:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        torch.manual_seed(arguments.seed)
        self.model = self.first_model().to(self.device)
        self.parameters = list(self.model.parameters())
        hidden, other = [], []
        for name, parameter in self.model.named_parameters():
            is_hidden = name.startswith("layers") and parameter.ndim >= 2 and "router" not in name
            (hidden if is_hidden else other).append(parameter)
        self.muon = Muon(hidden, MUON_DECAY, torch.bfloat16 if arguments.bf16 else torch.float32)
        self.adam_parameters = other
        self.adam = torch.optim.AdamW(other, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.averaged = [parameter.detach().clone() for parameter in self.parameters]
        self.rows = TrainingRows(arguments.data, arguments.mix, arguments.seed)
        self.held_out = {name: TokenArray(arguments.data, name) for name in HELD_OUT}
        self.characters_per_token = {
            name: counts["characters"] / counts["tokens"]
            for name, counts in json.loads((arguments.data / "counts.json").read_text()).items()
        }
        self.step = 0
        self.num_tokens = 0
        self.core_seconds_before = 0.0
        self.validation: list[dict] = []
        self.stop_requested = False
        self.saved_at = time.monotonic()

        if arguments.resume:
            self.log_file = open(arguments.log, "r+")
            self.resume(arguments.out)
        elif arguments.out.exists():
            raise SystemExit(f"{arguments.out} is there already; go on with --resume, or move it away")
        else:
            self.log_file = open(arguments.log, "w")
            if arguments.init:
                self.take_up_log(arguments.init / "training-log.jsonl")
        # One thread per operation. Threads that share an operation wait for each other many times a step, so one busy
        # core would slow all of them. Workers wait for each other once a step.
        self.workers = ThreadPoolExecutor(arguments.workers, initializer=torch.set_num_threads, initargs=(1,))
        self.native = NativeTrainer(self.model, max(arguments.micro, BATCH_SIZE)) if arguments.native else None

    def first_model(self) -> Grok:
        init = self.arguments.init
        if not init:
            return Grok(SMOKE_CONFIG if self.arguments.smoke else ModelConfig())
        ours, theirs = (folder / "tokenizer.model" for folder in (init, self.arguments.data))
        if ours.read_bytes() != theirs.read_bytes():
            raise SystemExit(f"expected {theirs} to be {ours}; run prep.py with --tokenizer {ours}")
        return read_exported(init)

    def take_up_log(self, path: Path) -> None:
        log = path.read_text()
        self.log_file.write(log)
        last = json.loads(log.splitlines()[-1])
        self.num_tokens, self.core_seconds_before = last["tokens"], 60 * last["core_minutes"]

    def core_seconds(self) -> float:
        return self.core_seconds_before + time.process_time()

    def save(self) -> None:
        self.log_file.flush()
        os.fsync(self.log_file.fileno())
        unfinished = self.arguments.out.with_suffix(".tmp")
        with open(unfinished, "wb") as file:
            torch.save(
                {
                    "config": asdict(self.model.config),
                    "parameters": self.model.state_dict(),
                    "averaged": self.averaged,
                    "adam": self.adam.state_dict(),
                    "momenta": self.muon.momenta,
                    "rows": self.rows.state(),
                    "torch_rng": torch.get_rng_state(),
                    "step": self.step,
                    "tokens": self.num_tokens,
                    "core_seconds": self.core_seconds(),
                    "validation": self.validation,
                    "log_bytes": self.log_file.tell(),
                    "torch": str(torch.__version__),
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self.arguments.out)
        self.saved_at = time.monotonic()
        give_back_memory()

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        run = torch.load(path, map_location="cpu")
        self.model.load_state_dict(run["parameters"])
        self.adam.load_state_dict(run["adam"])
        for ours, saved in ((self.averaged, run["averaged"]), (self.muon.momenta, run["momenta"])):
            for tensor, saved_tensor in zip(ours, saved, strict=True):
                tensor.copy_(saved_tensor)
        self.rows.set_state(run["rows"])
        torch.set_rng_state(run["torch_rng"])
        self.step, self.num_tokens, self.core_seconds_before = run["step"], run["tokens"], run["core_seconds"]
        self.validation = run["validation"]
        # A killed run may have logged steps after its last save. They are done again.
        self.log_file.seek(run["log_bytes"])
        self.log_file.truncate()

    def log(self, line: dict) -> None:
        self.log_file.write(json.dumps(line) + "\n")
        self.log_file.flush()

    @property
    def tokens_left(self) -> float:
        return self.arguments.tokens - self.num_tokens

    @property
    def rate(self) -> float:
        """The learning rate as a share of the full rate."""
        falling = max(LOWEST_RATE, self.tokens_left / self.arguments.decay)
        return min(1.0, (self.step + 1) / WARM_UP_STEPS, falling)

    def losses(self, ids, targets):
        if self.native:
            return self.native.losses(ids, targets)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.arguments.bf16):
            return self.model.losses(ids.to(self.device), targets.to(self.device))

    def gradients(self, rows):
        losses = self.losses(*rows)
        total = losses.text + BALANCE_WEIGHT * losses.balance + ROUTER_Z_WEIGHT * losses.router_z
        return losses, torch.autograd.grad(total, self.parameters)

    def added_gradients(self, micro_batches, num_rows):
        """Sets the gradients of a step. Yields the losses of each micro batch and its share of the rows."""
        # Gradients are added in the order of the rows, so the sum does not depend on the speed of the workers.
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        for (losses, gradients), (ids, _) in zip(self.workers.map(self.gradients, micro_batches), micro_batches):
            share = len(ids) / num_rows
            for parameter, gradient in zip(self.parameters, gradients):
                parameter.grad.add_(gradient, alpha=share)
            yield losses, share

    def native_gradients(self, micro_batches, num_rows):
        """The same."""
        self.native.set_weights()
        for ids, targets in micro_batches:
            share = len(ids) / num_rows
            yield self.native.add_gradients(ids, targets, share, BALANCE_WEIGHT * share, ROUTER_Z_WEIGHT * share), share
        self.native.take_gradients()

    def compile(self) -> None:
        """Compiles in one thread, before several workers would compile at the same time."""
        for num_rows in (self.arguments.micro, BATCH_SIZE):
            ids = torch.zeros(num_rows, self.model.config.context_length, dtype=torch.int64)
            self.gradients((ids, ids))
            with torch.no_grad():
                self.losses(ids, ids)

    def train_step(self) -> None:
        context, rate, num_rows = self.model.config.context_length, self.rate, self.arguments.batch
        ids, targets = self.rows.draw(num_rows, context)
        micro_batches = list(zip(ids.split(self.arguments.micro), targets.split(self.arguments.micro)))

        text_loss, loads = 0.0, 0.0
        of_micro_batches = self.native_gradients if self.native else self.added_gradients
        for losses, share in of_micro_batches(micro_batches, num_rows):
            text_loss += losses.text.item() * share
            loads = loads + losses.loads * share

        if self.native:
            self.muon.step(MUON_RATE * rate, update=self.native.step_muon)
        else:
            self.muon.step(MUON_RATE * rate, self.workers.map)
        torch.nn.utils.clip_grad_norm_(self.adam_parameters, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        self.adam.step()
        self.step += 1
        self.num_tokens += num_rows * context
        # The average forgets the first weights quickly at the start.
        keep = min(AVERAGING, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.parameters, 1 - keep)
        if self.step % STEPS_PER_LOG_LINE == 0:
            self.log(
                {
                    "step": self.step,
                    "core_minutes": round(self.core_seconds() / 60, 2),
                    "tokens": self.num_tokens,
                    "rate": round(rate, 3),
                    "loss": round(text_loss, 3),
                    "load": [round(loads.min().item(), 3), round(loads.max().item(), 3)],
                }
            )

    def swap_averaged(self) -> None:
        for parameter, averaged in zip(self.parameters, self.averaged):
            parameter.data, averaged.data = averaged.data, parameter.data

    def evaluate(self) -> None:
        line: dict = {
            "step": self.step,
            "core_minutes": round(self.core_seconds() / 60, 2),
            "tokens": self.num_tokens,
        }
        context, num_rows = self.model.config.context_length, SMOKE_ROWS if self.arguments.smoke else NUM_ROWS
        map_over = map if self.native else self.workers.map
        for suffix in ("", "_averaged"):
            if self.native:
                self.native.set_weights()
            for name in HELD_OUT:
                loss, loads = held_out_loss(self.losses, self.held_out[name], context, num_rows, map_over)
                line[f"{name}{suffix}"] = round(loss, 4)
                line[f"{name}{suffix}_bits"] = round(bits_per_character(loss, self.characters_per_token[name]), 4)
                line[f"{name}{suffix}_load"] = [round(loads.min().item(), 3), round(loads.max().item(), 3)]
            self.swap_averaged()
        self.validation.append(line)
        self.log(line)

    def run(self) -> None:
        settings = {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(self.arguments).items()
        }
        num_parameters = sum(parameter.numel() for parameter in self.parameters)
        self.log({"parameters": num_parameters, "config": asdict(self.model.config), "arguments": settings})
        if self.arguments.compile:
            self.compile()
        if not self.validation:
            self.evaluate()
        while self.tokens_left > 0 and self.step < self.arguments.steps and not self.stop_requested:
            self.train_step()
            if self.step % self.arguments.every == 0 or self.tokens_left <= 0:
                self.evaluate()
                self.save()
            elif time.monotonic() - self.saved_at > 60 * self.arguments.save_minutes:
                self.save()
        self.save()

    def request_stop(self, *_) -> None:
        self.stop_requested = True


def check_smoke(trainer: Trainer) -> None:
    first, last = trainer.validation[0]["gb_va"], trainer.validation[-1]["gb_va"]
    if trainer.arguments.init:
        exported = json.loads(trainer.arguments.log.read_text().splitlines()[-3])["gb_va_averaged"]
        if abs(first - exported) > 0.02:
            sys.exit(f"smoke: expected the validation loss {exported} of the exported weights, found {first}")
    elif trainer.tokens_left <= 0 and not last < first - 0.4:
        sys.exit(f"smoke: expected the validation loss to fall by more than 0.4 from {first}, found {last}")


def main() -> None:
    arguments = parse_arguments()
    if arguments.smoke:
        arguments.tokens, arguments.decay = SMOKE_TOKENS, SMOKE_TOKENS / 2
    torch.set_num_threads(1)
    if arguments.compile:
        network.compile_elementwise()
    trainer = Trainer(arguments)
    signal.signal(signal.SIGTERM, trainer.request_stop)
    signal.signal(signal.SIGINT, trainer.request_stop)
    trainer.run()
    if arguments.smoke:
        check_smoke(trainer)



if __name__ == "__main__":
    main()
