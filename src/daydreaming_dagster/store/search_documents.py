"""What the search index takes in of one generation: its row, and the texts whose words are found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome
from daydreaming_dagster.store.index import SETTLED_NS, Summary, read_summary, summarize_outcome
from daydreaming_dagster.store.paths import METADATA, PARSED, PROMPT, RAW, RAW_METADATA
from daydreaming_dagster.store.search_schema import COLUMNS

Scales = Mapping[str, tuple[float, float]]
"""Ends of the scale by evaluation template."""

MOST_INDEXED_CHARACTERS = 200_000
"""Of each text; what stands behind is shown but not found."""

_TITLE_CHARACTERS = 120
_PARENTS_KEPT = 2048
"""Texts of drafts or essays kept while what was made from them is read: of some ten kilobytes each."""
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_NOT_IN_TITLES = re.compile("[*`\u202a-\u202e\u2066-\u2069]+")
"""Marks, and signs that would turn the direction of a line in which the title stands among other words."""
_EMPTY = GenerationMetadata(Stage.DRAFT, "", "", "", "", "", "", "", 1)


class Files(NamedTuple):
    """What the folder of a generation holds; no metadata when something in it cannot be read.

    The prompt is without the text that it was made around.
    """

    gen_id: str
    metadata: GenerationMetadata | None
    raw_metadata: Mapping[str, Any]
    raw: str | None
    parsed: str | None
    prompt: str


@dataclass(frozen=True, slots=True)
class Document:
    """One generation as the index takes it in: its row, and the texts whose words are found."""

    row: dict[str, Any]
    response: str
    prompt: str


class DocumentReader:
    """Reads the files of generations as the index takes them in.

    Args:
        store: the generations.
        scales: a score that is off its scale is none.
    """

    def __init__(self, store: GenerationStore, scales: Scales) -> None:
        self._store = store
        self._paths = store.paths
        self._scales = scales
        self._parent_text = lru_cache(maxsize=_PARENTS_KEPT)(self._find_text)

    def forget_texts(self) -> None:
        """Parents' texts may have changed since the last refresh."""
        self._parent_text.cache_clear()

    def read(self, stage: Stage, gen_id: str) -> Files:
        """The files of a generation. It may be called from another thread than `build`."""
        folder = f"{self._paths.stage(stage)}/{gen_id}/"
        try:
            metadata, raw_metadata = (_load_object(_find_file(folder + name)) for name in (METADATA, RAW_METADATA))
            raw, parsed, prompt = (_decode(_find_file(folder + name)) for name in (RAW, PARSED, PROMPT))
        except (OSError, ValueError):
            # Something is unusual: `read_summary` says what.
            return Files(gen_id, None, {}, None, None, "")
        known = GenerationMetadata.of_json(metadata, stage, gen_id)
        return Files(gen_id, known, raw_metadata, raw, parsed, self._without_parent_text(known, prompt or ""))

    def build(self, stage: Stage, found: Files, mtime_ns: int, started_ns: int) -> Document:
        """What the index takes in.

        Args:
            stage: of the generation.
            found: its files.
            mtime_ns: of its folder, before these were read.
            started_ns: when the refresh began.
        """
        # A folder that was touched a moment ago may be touched again within the clock's tick: it is read once more.
        stamp = mtime_ns if mtime_ns < started_ns - SETTLED_NS else 0
        metadata = found.metadata
        if metadata is None:
            summary = read_summary(self._store, stage, found.gen_id)._replace(mtime_ns=stamp)
            return _build_document(summary, replace(_EMPTY, stage=stage, gen_id=found.gen_id), {}, None, "", "")
        summary = summarize_outcome(Outcome(metadata, None, found.raw, found.raw_metadata, found.parsed), stamp)
        response = found.raw or found.parsed or ""
        summary = self._on_scale(summary)
        return _build_document(summary, metadata, found.raw_metadata, found.parsed, response, found.prompt)

    def _on_scale(self, summary: Summary) -> Summary:
        low, high = self._scales.get(summary.template_id, (-math.inf, math.inf))
        if summary.score is None or (math.isfinite(summary.score) and low <= summary.score <= high):
            return summary
        return summary._replace(score=None, code="score_off_scale")

    def _without_parent_text(self, metadata: GenerationMetadata, prompt: str) -> str:
        """The prompt less the text it was made around, which is found where it was written."""
        parent = metadata.stage.parent
        text = self._parent_text(parent, metadata.parent_gen_id) if parent and metadata.parent_gen_id else ""
        return prompt.replace(text, " ") if text else prompt

    def _find_text(self, stage: Stage, gen_id: str) -> str:
        try:
            return (_decode(_find_file(f"{self._paths.stage(stage)}/{gen_id}/{PARSED}")) or "").strip()
        except (OSError, ValueError):
            return ""


def _build_document(
    summary: Summary,
    metadata: GenerationMetadata,
    raw_metadata: Mapping[str, Any],
    parsed: str | None,
    response: str,
    prompt: str,
) -> Document:
    row = {name: getattr(summary, name, None) for name in COLUMNS}
    row |= {name: getattr(metadata, name) for name in ("stage", "combo_id", "experiment_id", "replicate", "mode")}
    row |= {
        "lasting": int(summary.lasting),
        "finished_at": str(raw_metadata.get("finished_at") or ""),
        "words": None if parsed is None else count_words(parsed),
        "title": "" if parsed is None else find_title(parsed),
    }
    return Document(row, response[:MOST_INDEXED_CHARACTERS], prompt[:MOST_INDEXED_CHARACTERS])


def count_words(text: str) -> int:
    """Words; where none are told apart by spaces, as in Chinese and Japanese, signs."""
    spaced, signs = (text, 0) if text.isascii() else _UNSPACED.subn(" ", text)
    return len(spaced.split()) + signs


def find_title(text: str) -> str:
    """The first heading or line of a text without its marks, shortened; empty for an empty text."""
    for line in text[:4000].splitlines():
        if title := " ".join(_NOT_IN_TITLES.sub("", line).lstrip(" \t#_=->").rstrip(" \t#_=-").split()):
            return title if len(title) <= _TITLE_CHARACTERS else title[: _TITLE_CHARACTERS - 1].rstrip() + "…"
    return ""


def _find_file(path: str) -> bytes | None:
    try:
        return files.read_quickly(path)
    except FileNotFoundError:
        return None


def _load_object(content: bytes | None) -> dict[str, Any]:
    value = {} if content is None else orjson.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _decode(content: bytes | None) -> str | None:
    return None if content is None else content.decode()
