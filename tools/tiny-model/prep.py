"""From the corpus to what training reads: tokenizer.model, one array of token ids for each text, and counts.json.

    python prep.py CORPUS DATA [--tokenizer FILE]

CORPUS holds the *.txt.xz files and their SHA256SUMS; documents in them are separated by <|endoftext|>.
"""

import argparse
import hashlib
import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import sentencepiece

import text_measures

VOCAB_SIZE = 4096
EOS = 2
# The tokenizer reads every fourth section of the books, because most rows come from them and should decide its pieces.
# With it, held-out TinyStories have 3.93 characters a token instead of 3.87, books 3.62 instead of 3.66.
TOKENIZER_BOOK_STRIDE = 4

# Stock phrases ("Once upon a time, there was a little girl named Lily. She loved to") occur in both kinds of text. A
# training document that shares more than those with the held-out text is a copy.
OVERLAP_LENGTH = 13  # words
OVERLAP_LIMIT = 0.15  # of a document's n-grams

# The name of an array, and its files. "tr" is for training, "va" is held out.
TEXTS = {
    "gb_tr": ("gutenberg-children.train", "gutenberg-children-more.train"),
    "ts_tr": (
        "tinystories-slice.train",
        "tinystories-v2-valid.train",
        "tinystories-samples.train",
        "tinystories-recased.train",
        "tinystories-openings.train",
    ),
    "cc_tr": ("storybooks-ccby.train", "fairytaleqa-tales.train"),
    "gb_va": ("gutenberg-children.valid",),
    "ts_va": ("tinystories-slice.valid",),
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


def ngrams_of(document: str) -> set[tuple[str, ...]]:
    return set(text_measures.ngrams_of(text_measures.words_of(document), OVERLAP_LENGTH))


def check_overlap(texts: dict[str, list[str]]) -> None:
    """Refuses a training document that copies from the held-out texts."""
    held_out = {
        name: set().union(*map(ngrams_of, documents)) for name, documents in texts.items() if name.endswith("_va")
    }
    everything = set().union(*held_out.values())
    shared: set[tuple[str, ...]] = set()
    for name, documents in texts.items():
        if name in held_out:
            continue
        for number, document in enumerate(documents):
            ngrams = ngrams_of(document)
            common = ngrams & everything
            shared |= common
            if len(common) > OVERLAP_LIMIT * len(ngrams):
                raise SystemExit(
                    f"{name}, document {number}: expected at most {OVERLAP_LIMIT:.0%} of its {OVERLAP_LENGTH}-grams in "
                    f"the held-out texts, found {len(common)} of {len(ngrams)}"
                )
    for name, ngrams in held_out.items():
        print(f"{name}: {len(ngrams & shared)} of {len(ngrams)} {OVERLAP_LENGTH}-grams stand in the training text")


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


def write_tokens(documents: list[str], tokenizer: sentencepiece.SentencePieceProcessor, out: Path, name: str) -> dict:
    """NAME.npy: the ids of all documents, each closed by [EOS]. NAME.starts.npy: the index at which each begins.

    Returns the counts of the text.
    """
    tokens: list[int] = []
    starts = []
    for document in documents:
        starts.append(len(tokens))
        tokens += [*tokenizer.encode(document), EOS]
    np.save(out / f"{name}.npy", np.array(tokens, np.uint16))
    np.save(out / f"{name}.starts.npy", np.array(starts, np.int64))
    return {"documents": len(documents), "tokens": len(tokens), "characters": sum(map(len, documents))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="the one of a model to go on with; without it, a new one")
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    sums = read_sums(arguments.corpus)
    texts = {
        name: [document for text in files for document in read_documents(arguments.corpus, text, sums[f"{text}.txt"])]
        for name, files in TEXTS.items()
    }
    check_overlap(texts)
    if arguments.tokenizer:
        shutil.copyfile(arguments.tokenizer, arguments.out / "tokenizer.model")
    else:
        train_tokenizer([*texts["gb_tr"][::TOKENIZER_BOOK_STRIDE], *texts["ts_tr"], *texts["cc_tr"]], arguments.out)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(arguments.out / "tokenizer.model"))
    counts = {name: write_tokens(documents, tokenizer, arguments.out, name) for name, documents in texts.items()}
    for name, count in counts.items():
        characters_per_token = count["characters"] / count["tokens"]
        print(
            f"{name}: {count['documents']} documents, {count['tokens']} tokens, "
            f"{characters_per_token:.3f} characters/token"
        )
    (arguments.out / "counts.json").write_text(json.dumps(counts, indent=2) + "\n")


if __name__ == "__main__":
    main()
