"""Puts the figures of a run into the model card, between its two marks.

    python card.py evaluation.json sampling.json training-log.jsonl README.md
"""

import argparse
import json
from pathlib import Path

from evaluate import SAMPLES_PER_PROMPT, TEMPERATURE, TOP_P

BEGIN = "<!-- figures: written by tools/tiny-model/card.py -->\n"
END = "<!-- end of figures -->\n"
WITHOUT_EFFECT = ("data", "out", "log", "steps", "save_minutes", "smoke")  # on the weights
TEXT_NAMES = {"gb_va": "children's books", "ts_va": "TinyStories"}


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def command_of(arguments: dict) -> str:
    shown = ["    train.py"]
    for name, value in arguments.items():
        if name in WITHOUT_EFFECT or value in (None, False):
            continue
        number = f"{value:g}" if isinstance(value, float) else value
        shown.append(f"--{name}" if value is True else f"--{name} {number}")
    return " ".join(shown)


def training_lines(log: list[dict]) -> list[str]:
    """A run that was resumed, or begun from the weights of the one before, has several commands."""
    last = log[-1]
    commands = [command_of(line["arguments"]) for line in log if "arguments" in line]
    return [
        f"{last['tokens']:,} tokens in {last['core_minutes'] / 60:.1f} hours of a core:",
        "",
        *dict.fromkeys(commands),
    ]


def loss_lines(validation: dict) -> list[str]:
    lines = [
        "| held-out text | float32, nats/token | int8, nats/token | int8, bits/character |",
        "|---|---:|---:|---:|",
    ]
    for name, losses in validation.items():
        lines.append(
            f"| {TEXT_NAMES[name]} | {losses['f32_nats_per_token']:.4f} | {losses['int8_nats_per_token']:.4f} | "
            f"{losses['int8_bits_per_character']:.3f} |"
        )
    return lines


def measure_lines(result: dict) -> list[str]:
    samples = result["samples"]
    num_samples = sum(map(len, samples["texts"].values()))
    return [
        f"| in {num_samples} samples, {samples['words']:,} words | |",
        "|---|---:|",
        f"| 4-grams of words that repeat within a sample | {percent(samples['repeated_4gram_share'])} |",
        f"| words that are not in the training text | {percent(samples['unknown_word_share'])} |",
        f"| words of the list of slurs | {samples['slurs']} |",
        f"| 12-grams of words that stand in the training text | {percent(samples['recited_12gram_share'])} |",
        f"| 12-grams of words that stand in its TinyStories | {percent(samples['recited_12gram_share_tinystories'])} |",
        "",
        "| tokens of a layer that go to | its least used expert | its most used expert |",
        "|---|---:|---:|",
        *(
            f"| {TEXT_NAMES.get(name, 'both together')} | {percent(load['lowest'])} | {percent(load['highest'])} |"
            for name, load in result["expert_load"].items()
        ),
    ]


def sampling_lines(rows: list[dict]) -> list[str]:
    return [
        f"{rows[0]['samples']} samples at each setting (`tools/tiny-model/sampling.mjs`). A text loops when more than 10 % "
        "of its 4-grams repeat;",
        "nats are the model's own, of the text that it wrote:",
        "",
        "| temperature | top-p | min-p | repetition penalty | repeated 4-grams | in the worst text | texts that loop "
        "| nats/token |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row['temperature']} | {row['topP']} | {row['minP']} | {row['repetitionPenalty']} | "
            f"{percent(row['repeatedShare'])} | {percent(row['worstShare'])} | {row['loops']} | {row['nats']:.2f} |"
            for row in rows
        ),
    ]


def sample_lines(texts: dict[str, list[str]]) -> list[str]:
    lines = [
        f"The first of {SAMPLES_PER_PROMPT} for each prompt at temperature {TEMPERATURE}, top-p {TOP_P}; not chosen:",
    ]
    for prompt, samples in texts.items():
        text = samples[0].removeprefix(prompt).strip("\n").replace("\n", "\n>\n> ")
        lines += ["", f"> **{prompt}**{text}"]
    return lines


def figures(result: dict, sampling: list[dict], log: list[dict]) -> str:
    failed = [gate for gate, passed in result["gates"].items() if not passed]
    parts = [
        training_lines(log),
        loss_lines(result["validation"]),
        measure_lines(result),
        sampling_lines(sampling),
        [f"Not met: {'; '.join(failed)}." if failed else "All gates of tools/tiny-model/evaluate.py are met."],
        ["## Samples"],
        sample_lines(result["samples"]["texts"]),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("sampling", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("card", type=Path)
    arguments = parser.parse_args()

    result = json.loads(arguments.evaluation.read_text())
    sampling = json.loads(arguments.sampling.read_text())
    log = [json.loads(line) for line in arguments.log.read_text().splitlines()]
    before, begin, rest = arguments.card.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{arguments.card}: expected the lines {BEGIN.strip()} and {END.strip()}")
    arguments.card.write_text(f"{before}{BEGIN}\n{figures(result, sampling, log)}\n{END}{after}")


if __name__ == "__main__":
    main()
