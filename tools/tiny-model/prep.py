"""From the corpus to what training reads: tokenizer.model, and one array of token ids for each text.

    python prep.py CORPUS DATA

CORPUS holds the *.txt.xz files and their SHA256SUMS; documents in them are separated by <|endoftext|>.
"""

import argparse
import hashlib
import lzma
from pathlib import Path

import numpy as np
import sentencepiece

VOCAB_SIZE = 4096
EOS = 2

# The name of an array, and the text in it. "tr" is trained on, "va" is held out.
TEXTS = {
    "gb_tr": "gutenberg-children.train",
    "ts_tr": "tinystories-slice.train",
    "cc_tr": "storybooks-ccby.train",
    "gb_va": "gutenberg-children.valid",
    "ts_va": "tinystories-slice.valid",
}


def read_documents(corpus: Path, text: str, sha256: str) -> list[str]:
    raw = lzma.open(corpus / f"{text}.txt.xz").read()
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise SystemExit(f"{text}.txt: expected SHA-256 {sha256}, found {found}; fetch the corpus again")
    documents = (document.strip() for document in raw.decode().split("\n<|endoftext|>\n"))
    return [document for document in documents if document]


def read_sums(corpus: Path) -> dict[str, str]:
    lines = (line.split() for line in (corpus / "SHA256SUMS").read_text().splitlines())
    return {name: sha256 for sha256, name in lines}


def train_tokenizer(documents: list[str], out: Path) -> None:
    """The kind and the options of Grok-1's own tokenizer.model, so that one reader serves both.

    One thread and no shuffling: the same text gives the same file, but for the paths below, which are written into it.
    """
    sentences = out / "spm_input.txt"
    sentences.write_text("".join(document + "\n" for document in documents))
    sentencepiece.SentencePieceTrainer.train(
        input=str(sentences),
        model_prefix=str(out / "tokenizer"),
        vocab_size=VOCAB_SIZE,
        model_type="bpe",
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        max_sentence_length=8192,
        pad_id=0,
        bos_id=1,
        eos_id=EOS,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[BOS]",
        eos_piece="[EOS]",
        unk_piece="[UNK]",
        unk_surface="[UNK]",
        user_defined_symbols=["\n", "\n\n", *"0123456789", "\t"],
        num_threads=1,
        shuffle_input_sentence=False,
    )
    sentences.unlink()


def write_tokens(documents: list[str], tokenizer: sentencepiece.SentencePieceProcessor, out: Path, name: str) -> None:
    """NAME.npy: the ids of all documents, each closed by [EOS]. NAME.starts.npy: where each document begins."""
    tokens: list[int] = []
    starts = []
    for document in documents:
        starts.append(len(tokens))
        tokens += [*tokenizer.encode(document), EOS]
    np.save(out / f"{name}.npy", np.array(tokens, np.uint16))
    np.save(out / f"{name}.starts.npy", np.array(starts, np.int64))
    characters_per_token = sum(map(len, documents)) / len(tokens)
    print(f"{name}: {len(documents)} documents, {len(tokens)} tokens, {characters_per_token:.3f} characters/token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    sums = read_sums(arguments.corpus)
    texts = {
        name: read_documents(arguments.corpus, text, sums[f"{text}.txt"]) for name, text in TEXTS.items()
    }
    trained_on = [document for name, documents in texts.items() if name.endswith("_tr") for document in documents]
    train_tokenizer(trained_on, arguments.out)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(arguments.out / "tokenizer.model"))
    for name, documents in texts.items():
        write_tokens(documents, tokenizer, arguments.out, name)


if __name__ == "__main__":
    main()
