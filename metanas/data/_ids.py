"""Texts and names -> ids: words of a text, users and items of a pair. Id 0 is nothing: padding, or a name never seen.

Notation: n samples, L ids in each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\w+|[^\w\s]")
"""A word, or a sign of punctuation; texts are taken in lower case."""
MOST_WORDS = 20_000
"""A text's rarer words are one unknown word, so that the embedding stays small."""
_LEAST_COUNT = 2
"""A word seen once in training teaches nothing that holds for another text."""
LONGEST = 256
"""Words of a text that are read at most; attention costs their square."""
_COVERED = 95
"""Percentage of the training texts that are read whole."""
PADDING, UNKNOWN = 0, 1


def fit_words(texts: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """The words that get an id, most frequent first, and how many words of a text are read."""
    counts: Counter[str] = Counter()
    lengths = []
    for text in texts:
        words = WORD.findall(text.lower())
        counts.update(words)
        lengths.append(len(words))
    # By count, then in the order of the alphabet, so that equal data give equal ids on every machine.
    frequent = sorted((word for word in counts if counts[word] >= _LEAST_COUNT), key=lambda word: (-counts[word], word))
    return tuple(frequent[:MOST_WORDS]), max(1, min(LONGEST, int(np.percentile(lengths, _COVERED))))


def word_ids(texts: Sequence[str], words: Sequence[str], length: int) -> NDArray[np.int64]:
    """The ids of the first words of each text, (n, L): padded at the left, so that a sequence ends in its last word."""
    numbers = {word: number for number, word in enumerate(words, UNKNOWN + 1)}
    ids = np.full((len(texts), length), PADDING, np.int64)
    for row, text in enumerate(texts):
        found = [numbers.get(word, UNKNOWN) for word in WORD.findall(text.lower())[:length]]
        if found:
            ids[row, -len(found) :] = found
    return ids


def known_ids(ids: NDArray[np.int64], vocabulary: int) -> NDArray[np.int64]:
    """The ids that the training part did not reach are nothing."""
    return np.where((ids >= 0) & (ids < vocabulary), ids, PADDING)
