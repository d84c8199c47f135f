"""Texts as vectors, for measuring how alike they are. Cosines of two embedders never compare."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray

_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    """Turns texts into vectors.

    Attributes:
        name: recorded with every figure made from the vectors; changes whenever the vectors would.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """A row of length 1 per text, shape (texts, dimensions); all zero for a text without words."""
        ...


class HashingEmbedder:
    """Counts single words and pairs of neighbouring words into a fixed number of places; needs nothing but the text.

    It sees wording, not meaning: two essays with one idea in different words are far apart.
    """

    def __init__(self, dimensions: int = 4096) -> None:
        self.dimensions = dimensions
        self.name = f"hashing-words-1-2-{dimensions}"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """See `Embedder.embed`; counts are taken as 1 + log(count)."""
        vectors = np.zeros((len(texts), self.dimensions))
        for row, text in enumerate(texts):
            words = split_words(text)
            for gram, count in Counter([*words, *(" ".join(pair) for pair in pairwise(words))]).items():
                place = zlib.crc32(gram.encode())
                vectors[row, place % self.dimensions] += (1 + math.log(count)) * (1 if place & 0x80000000 else -1)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())
