"""The release gate of the embedded model. Prints one JSON object; exits with 1 when a gate is not passed.

    python evaluate.py RUN DATA EXPORTED [--weights final] > evaluation.json

It compares the run file (float32) with the exported directory (int8), and measures samples of the latter. A person has
to read them too.
"""

import argparse
import json
import sys
from pathlib import Path

import sentencepiece
import torch

import text_measures
from export import add_weights_option, read_run
from exported import read_exported
from held_out import HELD_OUT, bits_per_character, held_out_loss
from model import Grok
from prep import EOS
from rows import TokenArray

PROMPTS = ("Once upon a time", "The little fox", "One day, Lily")
SAMPLES_PER_PROMPT = 20
SAMPLE_TOKENS = 200
TEMPERATURE = 0.7
TOP_P = 0.9
REPEAT_LENGTH = 4  # words
RECITE_LENGTH = 12  # words

TRAINED_ON = ("gb_tr", "ts_tr", "cc_tr")
TINYSTORIES = "ts_tr"  # read several times in a run, so it could be memorized


class Text:
    """An array of prep.py's, as text again."""

    def __init__(self, folder: Path, name: str, tokenizer: sentencepiece.SentencePieceProcessor):
        self.array = TokenArray(folder, name)
        tokens = self.array.tokens.tolist()
        bounds = [*self.array.starts.tolist(), len(tokens)]
        self.documents = [tokenizer.decode(tokens[start:end]) for start, end in zip(bounds, bounds[1:])]

    @property
    def characters_per_token(self) -> float:
        return sum(map(len, self.documents)) / len(self.array.tokens)


@torch.no_grad()
def sample(model: Grok, prompt: list[int], seed: int) -> list[list[int]]:
    """Several continuations of one prompt, in step. They end before [EOS]."""
    generator = torch.Generator().manual_seed(seed)
    cache: list[dict] = [{} for _ in model.layers]
    ids = torch.tensor([prompt] * SAMPLES_PER_PROMPT)
    steps = []
    for _ in range(SAMPLE_TOKENS):
        probabilities = torch.softmax(model.next_logits(ids, cache) / TEMPERATURE, -1)
        ordered, order = probabilities.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered > TOP_P] = 0
        ids = order.gather(-1, torch.multinomial(ordered, 1, generator=generator))
        steps.append(ids)
    rows = torch.cat(steps, -1).tolist()
    return [row[: row.index(EOS)] if EOS in row else row for row in rows]


def extremes(loads: torch.Tensor) -> dict[str, float]:
    return {"lowest": round(loads.min().item(), 3), "highest": round(loads.max().item(), 3)}


def evaluate(run: Grok, exported: Grok, texts: dict[str, Text], tokenizer) -> dict:
    result: dict = {"validation": {}, "expert_load": {}}
    loads_of = []
    for name in HELD_OUT:
        text = texts[name]
        context = exported.config.context_length
        f32, _ = held_out_loss(run.losses, text.array, context)
        int8, loads = held_out_loss(exported.losses, text.array, context)
        result["validation"][name] = {
            "f32_nats_per_token": round(f32, 4),
            "int8_nats_per_token": round(int8, 4),
            "int8_bits_per_character": round(bits_per_character(int8, text.characters_per_token), 4),
        }
        result["expert_load"][name] = extremes(loads)
        loads_of.append(loads)
    result["expert_load"]["together"] = extremes(sum(loads_of) / len(loads_of))

    samples = {
        prompt: [
            tokenizer.decode(tokenizer.encode(prompt) + row) for row in sample(exported, tokenizer.encode(prompt), seed)
        ]
        for seed, prompt in enumerate(PROMPTS)
    }
    sampled = [text_measures.words_of(text) for of_prompt in samples.values() for text in of_prompt]
    sources = {
        name: [text_measures.words_of(document) for document in texts[name].documents] for name in TRAINED_ON
    }
    vocabulary = {word for documents in sources.values() for words in documents for word in words}
    everything = [words for documents in sources.values() for words in documents]
    result["samples"] = {
        "words": sum(map(len, sampled)),
        "repeated_4gram_share": round(text_measures.repeated_share(sampled, REPEAT_LENGTH), 4),
        "unknown_word_share": round(text_measures.unknown_share(sampled, vocabulary), 4),
        "slurs": text_measures.slur_count(sampled),
        "recited_12gram_share": round(text_measures.recited_share(sampled, everything, RECITE_LENGTH), 4),
        "recited_12gram_share_tinystories": round(
            text_measures.recited_share(sampled, sources[TINYSTORIES], RECITE_LENGTH), 4
        ),
        "texts": samples,
    }
    return result


def gates(result: dict) -> dict[str, bool]:
    samples = result["samples"]
    load = result["expert_load"]["together"]
    return {
        "int8 costs less than 0.01 nats": all(
            loss["int8_nats_per_token"] - loss["f32_nats_per_token"] < 0.01 for loss in result["validation"].values()
        ),
        "in each layer each expert has 2 to 35 % of the tokens": load["lowest"] >= 0.02 and load["highest"] <= 0.35,
        "less than 15 % of 4-grams are repeated": samples["repeated_4gram_share"] < 0.15,
        "less than 1 % of words are not in the training text": samples["unknown_word_share"] < 0.01,
        "no slurs": samples["slurs"] == 0,
        "less than 20 % of 12-grams are recited from TinyStories": samples["recited_12gram_share_tinystories"] < 0.2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("exported", type=Path)
    add_weights_option(parser)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(arguments.exported / "tokenizer.model"))
    texts = {name: Text(arguments.data, name, tokenizer) for name in (*HELD_OUT, *TRAINED_ON)}
    result = evaluate(read_run(arguments.run, arguments.weights), read_exported(arguments.exported), texts, tokenizer)
    result["gates"] = gates(result)
    print(json.dumps(result, indent=2))
    if not all(result["gates"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
