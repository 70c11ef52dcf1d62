"""From a run file to the directory that grok-run loads: ckpt-0, config.json, tokenizer.model.

    python export.py RUN DATA OUT
"""

import argparse
import shutil
from pathlib import Path

import torch

from exported import write_exported
from model import Grok, ModelConfig


def read_run(path: Path) -> Grok:
    run = torch.load(path, map_location="cpu")
    model = Grok(ModelConfig(**run["config"]))
    model.load_state_dict(run["parameters"])
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()

    write_exported(read_run(arguments.run), arguments.out)
    shutil.copyfile(arguments.data / "tokenizer.model", arguments.out / "tokenizer.model")
    files = sorted((arguments.out / "ckpt-0").iterdir())
    print(f"{arguments.out}: {len(files)} tensor files, {sum(file.stat().st_size for file in files)} bytes")


if __name__ == "__main__":
    main()
