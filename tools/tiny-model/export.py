"""From a run file to the directory that grok-run loads: ckpt-0, config.json, tokenizer.model.

    python export.py RUN DATA OUT [--weights final]

In the middle of a run the averaged weights are better than the final ones. --init of train.py goes on with OUT.
"""

import argparse
import shutil
from pathlib import Path

import torch

from exported import write_exported
from model import Grok, ModelConfig


@torch.no_grad()
def read_run(path: Path, weights: str) -> Grok:
    run = torch.load(path, map_location="cpu")
    model = Grok(ModelConfig(**run["config"]))
    model.load_state_dict(run["parameters"])
    if weights == "averaged":
        for parameter, averaged in zip(model.parameters(), run["averaged"], strict=True):
            parameter.copy_(averaged)
    return model.eval()


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", choices=("averaged", "final"), default="averaged", help="which of the run file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    add_weights_option(parser)
    arguments = parser.parse_args()

    write_exported(read_run(arguments.run, arguments.weights), arguments.out)
    shutil.copyfile(arguments.data / "tokenizer.model", arguments.out / "tokenizer.model")
    files = sorted((arguments.out / "ckpt-0").iterdir())
    print(f"{arguments.out}: {len(files)} tensor files, {sum(file.stat().st_size for file in files)} bytes")


if __name__ == "__main__":
    main()
