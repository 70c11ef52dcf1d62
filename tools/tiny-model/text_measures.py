"""Statistics of generated text. Words are runs of letters and apostrophes, in lower case."""

import re
from collections.abc import Iterable

WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")

# The corpus was filtered by a longer list; none of these may occur.
SLURS = frozenset(
    "chinaman darkey darkies darky injun injuns jap japs kike mulatto nigga nigger niggers pickaninny piccaninny "
    "redskin redskins sambo squaw squaws".split()
)


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def ngrams_of(words: list[str], length: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(length))))


def repeated_share(texts: Iterable[list[str]], length: int) -> float:
    """The share of each text's n-grams that occurred in it before."""
    total = distinct = 0
    for words in texts:
        ngrams = ngrams_of(words, length)
        total += len(ngrams)
        distinct += len(set(ngrams))
    return 1 - distinct / total


def unknown_share(texts: Iterable[list[str]], vocabulary: set[str]) -> float:
    words = [word for text in texts for word in text]
    return sum(word not in vocabulary for word in words) / len(words)


def slur_count(texts: Iterable[list[str]]) -> int:
    return sum(word in SLURS for text in texts for word in text)


def recited_share(texts: Iterable[list[str]], sources: Iterable[list[str]], length: int) -> float:
    """The share of the texts' n-grams that occur in a source."""
    ngrams = [ngram for words in texts for ngram in ngrams_of(words, length)]
    wanted = set(ngrams)
    found: set[tuple[str, ...]] = set()
    for words in sources:
        found.update(wanted.intersection(ngrams_of(words, length)))
    return sum(ngram in found for ngram in ngrams) / len(ngrams)
