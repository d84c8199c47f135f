"""Texts as vectors, for measuring how alike they are. Cosines of two embedders never compare."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray
from daydreaming_dagster.domain.errors import ConfigurationError

_WORD = re.compile(r"\w+")
_SIGN_BIT = 0x80000000
_MEANING = "wordllama"


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
            words = [word.encode() for word in split_words(text)]
            sums = {word: zlib.crc32(word) for word in words}
            # The checksum of a pair goes on from that of its first word, as if both were one text with a space between.
            singles = ((sums[word], count) for word, count in Counter(words).items())
            pairs = ((zlib.crc32(b" " + b, sums[a]), count) for (a, b), count in Counter(pairwise(words)).items())
            places, counts = np.array([*singles, *pairs], dtype=np.int64).reshape(-1, 2).T
            weight = np.where(places & _SIGN_BIT, 1.0, -1.0) * (1 + np.log(counts))
            vectors[row] = np.bincount(places % self.dimensions, weights=weight, minlength=self.dimensions)
        return _to_length_one(vectors)


class WordLlamaEmbedder:
    """The mean of vectors of word pieces, from a table that the package `wordllama` brings along.

    It sees what words mean, not their order: two essays with one idea in different words are close. Nothing is
    downloaded.

    Raises:
        ConfigurationError: the package is not installed.
    """

    def __init__(self) -> None:
        try:
            import wordllama
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"The embedder '{_MEANING}' is not installed.",
                fix="Install it with `uv sync --extra embeddings`, or leave DD_EMBEDDER at `hashing`.",
                reason="embedder_missing",
                culprits={"embedder": _MEANING},
            ) from error
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        self.name = f"{_MEANING}-{version('wordllama')}"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """See `Embedder.embed`."""
        known = [text if split_words(text) else "" for text in texts]
        return _to_length_one(np.asarray(self._model.embed(known), dtype=np.float64))


_EMBEDDERS: Mapping[str, Callable[[], Embedder]] = {"hashing": HashingEmbedder, _MEANING: WordLlamaEmbedder}


def make_embedder(name: str) -> Embedder:
    """The embedder that the setting DD_EMBEDDER names: `hashing` or `wordllama`.

    Raises:
        ConfigurationError: its package is not installed.
    """
    return _EMBEDDERS[name]()


def _to_length_one(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())
