"""The generations under `gens/<stage>/<gen_id>/`: the only code that reads or writes those folders.

| File | Written | Meaning |
|---|---|---|
| `metadata.json` | once | what was asked for |
| `prompt.txt` | always anew | what is (to be) sent |
| `raw.txt` | once per response; an older one moves to `versions/` | what came back |
| `raw_metadata.json` | with each response or failed call | how it came back; `failure` is null when it is usable |
| `parsed.txt`, `parsed_metadata.json` | only after success | what the next stage reads |

A `parsed.txt` that does not follow from `raw.txt` never stays behind: it is removed before `raw.txt` changes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from daydreaming_dagster.domain.errors import MissingParentError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.new_folders import NewFolder
from daydreaming_dagster.store.paths import (
    METADATA,
    PARSED,
    PARSED_METADATA,
    PROMPT,
    RAW,
    RAW_METADATA,
    VERSIONS,
    DataPaths,
)

_OLDER_TEMPLATE_KEYS = ("draft_template", "essay_template", "evaluation_template")
_SMALL_FILE_BYTES = 1 << 16
_SAFE_GEN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class GenerationMetadata:
    """What was asked for; `metadata.json`.

    Attributes:
        origin_cohort_id: the cohort that made it first.
        replicate: counts from 1.
        experiment_id: name given with `--tag experiment_id=…`; None when there was none.
    """

    stage: Stage
    gen_id: str
    origin_cohort_id: str
    mode: str
    template_id: str
    combo_id: str
    parent_gen_id: str
    llm_model_id: str
    replicate: int
    experiment_id: str | None = None

    @classmethod
    def of_member(cls, member: Member, experiment_id: str | None = None) -> GenerationMetadata:
        """The metadata of a generation that this cohort row makes."""
        return cls(
            stage=member.stage,
            gen_id=member.gen_id,
            origin_cohort_id=member.cohort_id,
            mode=member.mode,
            template_id=member.template_id,
            combo_id=member.combo_id,
            parent_gen_id=member.parent_gen_id,
            llm_model_id=member.llm_model_id,
            replicate=member.replicate,
            experiment_id=experiment_id,
        )

    @classmethod
    def of_json(cls, value: Mapping[str, Any], stage: Stage, gen_id: str) -> GenerationMetadata:
        """Reads today's and older keys; place and name of the folder win over what the file says."""

        def text(*keys: str) -> str:
            for key in keys:
                if (item := value.get(key)) not in (None, ""):
                    return str(item)
            return ""

        replicate = text("replicate")
        return cls(
            stage=stage,
            gen_id=gen_id,
            origin_cohort_id=text("origin_cohort_id", "cohort_id"),
            mode=text("mode"),
            template_id=text("template_id", *_OLDER_TEMPLATE_KEYS),
            combo_id=text("combo_id"),
            parent_gen_id=text("parent_gen_id"),
            llm_model_id=text("llm_model_id"),
            replicate=int(replicate) if replicate.isdecimal() else 1,
            experiment_id=text("experiment_id") or None,
        )


@dataclass(frozen=True, slots=True)
class ResponseVersion:
    """An earlier response of a generation; `number` counts from 1."""

    number: int
    text_path: Path
    metadata_path: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything one attempt leaves behind: what the journal keeps and the folder shows.

    Attributes:
        prompt: what was sent; None leaves the stored prompt as it is (nothing was sent).
        text: the response; None when the call brought none.
        raw_metadata: content of `raw_metadata.json`; `failure` in it is null when the response is usable.
        parsed: text for the next stage; None when the response is not usable or was not parsed yet.
        parsed_metadata: None exactly when `parsed` is.
    """

    metadata: GenerationMetadata
    prompt: str | None
    text: str | None
    raw_metadata: Mapping[str, Any]
    parsed: str | None = None
    parsed_metadata: Mapping[str, Any] | None = None

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Outcome:
        """Reads a journal line."""
        metadata = value["metadata"]
        return cls(**{**value, "metadata": GenerationMetadata(**{**metadata, "stage": Stage(metadata["stage"])})})


class GenerationStore:
    """Reads and writes generations below one data root."""

    def __init__(self, paths: DataPaths) -> None:
        self.paths = paths
        self._stage_folders = {stage: str(paths.stage(stage)) for stage in Stage}

    # Reading ------------------------------------------------------------------------------------------------------
    def folder(self, stage: Stage, gen_id: str) -> Path:
        """Folder of a generation.

        Raises:
            StoreError: the id could not be a folder name, so it cannot be a gen_id either.
        """
        _require_safe(gen_id)
        return self.paths.generation(stage, gen_id)

    def stage_folder(self, stage: Stage) -> str:
        """Folder of a stage's generations, as a text that is at hand."""
        return self._stage_folders[stage]

    def iter_gen_ids(self, stage: Stage) -> Iterator[str]:
        """Ids of all stored generations of a stage, in no order."""
        try:
            with os.scandir(self.paths.stage(stage)) as entries:
                for entry in entries:
                    if entry.is_dir() and _SAFE_GEN_ID.fullmatch(entry.name):
                        yield entry.name
        except FileNotFoundError:
            return

    def iter_metadata(
        self, stage: Stage, gen_ids: Iterable[str] | None = None, *, unreadable: list[str] | None = None
    ) -> Iterator[GenerationMetadata]:
        """Metadata of stored generations that have one; several times as fast as asking for each.

        Args:
            stage: stage of the generations.
            gen_ids: only these; None takes all of the stage, in no order.
            unreadable: takes the ids whose metadata is damaged; without it the first of them is an error.

        Raises:
            StoreError: metadata is damaged, and nobody wants to hear of it otherwise.
        """
        folder = f"{self.paths.stage(stage)}/"
        for gen_id in self.iter_gen_ids(stage) if gen_ids is None else gen_ids:
            value = _find_json_quickly(f"{folder}{gen_id}/{METADATA}")
            if value is not None:
                yield GenerationMetadata.of_json(value, stage, gen_id)
                continue
            try:
                metadata = self.find_metadata(stage, gen_id)
            except StoreError:
                if unreadable is None:
                    raise
                unreadable.append(gen_id)
                continue
            if metadata is not None:
                yield metadata

    def find_metadata(self, stage: Stage, gen_id: str) -> GenerationMetadata | None:
        """What was asked for; None when there is no such generation."""
        _require_safe(gen_id)
        path = f"{self._stage_folders[stage]}/{gen_id}/{METADATA}"
        try:
            os.stat(path)  # noqa: PTH116 - asked of every new generation, and costs much less than an attempt to read
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            pass  # what is wrong is told by who reads it
        value = files.find_json(Path(path))
        return None if value is None else GenerationMetadata.of_json(value, stage, gen_id)

    def find_prompt(self, stage: Stage, gen_id: str) -> str | None:
        """The prompt last rendered."""
        return files.find_text(self.folder(stage, gen_id) / PROMPT)

    def find_raw(self, stage: Stage, gen_id: str) -> str | None:
        """The stored response, usable or not."""
        return files.find_text(self.folder(stage, gen_id) / RAW)

    def find_raw_metadata(self, stage: Stage, gen_id: str) -> dict[str, Any] | None:
        """How the response came, or why none did."""
        return files.find_json(self.folder(stage, gen_id) / RAW_METADATA)

    def find_parsed(self, stage: Stage, gen_id: str) -> str | None:
        """What the next stage reads; None unless the response was usable and could be parsed."""
        return files.find_text(self.folder(stage, gen_id) / PARSED)

    def find_parsed_metadata(self, stage: Stage, gen_id: str) -> dict[str, Any] | None:
        """Which parser made the parsed text, and from which response."""
        return files.find_json(self.folder(stage, gen_id) / PARSED_METADATA)

    def require_parent_text(self, stage: Stage, gen_id: str, parent_gen_id: str) -> str:
        """Parsed text of the generation that this one is made from.

        Raises:
            MissingParentError: it is not there yet.
        """
        parent = stage.parent
        if parent is None:
            raise ValueError("drafts have no parent")
        text = self.find_parsed(parent, parent_gen_id)
        if text is None:
            raise MissingParentError(
                stage=stage,
                gen_id=gen_id,
                parent_stage=parent,
                parent_gen_id=parent_gen_id,
                expected=self.folder(parent, parent_gen_id) / PARSED,
            )
        return text

    def versions(self, stage: Stage, gen_id: str) -> list[ResponseVersion]:
        """Earlier responses, oldest first."""
        return _list_versions(self.folder(stage, gen_id) / VERSIONS, gen_id)

    def is_replaced(self, outcome: Outcome) -> bool:
        """Whether an attempt is stored already, as an earlier response: what came later must not be lost to it."""
        names = ("call_id", "started_at")  # a text that is copied again has the same call_id
        told = [outcome.raw_metadata.get(name) for name in names]
        kept = self.versions(outcome.metadata.stage, outcome.metadata.gen_id) if told[0] is not None else []
        facts = (_find_json_quickly(str(version.metadata_path)) or {} for version in kept)
        return any([fact.get(name) for name in names] == told for fact in facts)

    # Writing ------------------------------------------------------------------------------------------------------
    def write_metadata(self, metadata: GenerationMetadata, *, durable: bool = False) -> None:
        """Writes `metadata.json` unless it is there: a re-used generation keeps its first cohort."""
        path = self.folder(metadata.stage, metadata.gen_id) / METADATA
        if path.exists():
            return
        files.write_json(path, _metadata_json(metadata), durable=durable)

    def write_prompt(self, stage: Stage, gen_id: str, prompt: str, *, durable: bool = False) -> None:
        """Writes the prompt, over an older one."""
        files.write_text(self.folder(stage, gen_id) / PROMPT, prompt, durable=durable)

    def write_outcome(self, outcome: Outcome, *, durable: bool = False) -> None:
        """Writes all files of an attempt, in the order in which they depend on each other; writing it again is safe."""
        stage, gen_id = outcome.metadata.stage, outcome.metadata.gen_id
        if not durable and files.write_new_folders([self._build_folder(outcome)]) == [True]:
            return
        self.write_metadata(outcome.metadata, durable=durable)
        if outcome.prompt is not None:
            self.write_prompt(stage, gen_id, outcome.prompt, durable=durable)
        self.write_response(stage, gen_id, outcome.text, outcome.raw_metadata, durable=durable)
        if outcome.parsed is not None and outcome.parsed_metadata is not None:
            self.write_parsed(stage, gen_id, outcome.parsed, outcome.parsed_metadata, durable=durable)

    def write_outcomes(
        self, outcomes: Sequence[Outcome], write_folders: Callable[[Sequence[NewFolder]], Sequence[int]]
    ) -> None:
        """Writes all files of many attempts; new generations are written by `write_folders`."""
        are_new = files.write_new_folders([self._build_folder(outcome) for outcome in outcomes], write_folders)
        for outcome, is_new in zip(outcomes, are_new, strict=True):
            if not is_new:
                self.write_outcome(outcome)

    def _build_folder(self, outcome: Outcome) -> NewFolder:
        """A generation of which nothing is there yet, as one whole folder: that is written at half the price."""
        _require_safe(outcome.metadata.gen_id)
        contents = [
            (METADATA, files.dump_json(_metadata_json(outcome.metadata))),
            (RAW_METADATA, files.dump_json(outcome.raw_metadata)),
        ]
        for name, text in ((PROMPT, outcome.prompt), (RAW, outcome.text), (PARSED, outcome.parsed)):
            if text is not None:
                contents.append((name, files.encode(text)))
        if outcome.parsed_metadata is not None:
            contents.append((PARSED_METADATA, files.dump_json(outcome.parsed_metadata)))
        return self._stage_folders[outcome.metadata.stage], outcome.metadata.gen_id, contents

    def write_response(
        self, stage: Stage, gen_id: str, text: str | None, raw_metadata: Mapping[str, Any], *, durable: bool = False
    ) -> None:
        """Stores what a call brought; an earlier response moves to `versions/`, a parsed text made from it goes.

        Writing the same response again (the same `call_id`) changes nothing but missing files.

        Args:
            stage: stage of the generation.
            gen_id: the generation.
            text: the response; None when the call brought no text at all (an earlier response then stays as it is,
                together with its metadata).
            raw_metadata: content of `raw_metadata.json`; `call_id` and `raw_sha256` tell responses apart.
            durable: wait for the disk.
        """
        folder = self.folder(stage, gen_id)
        if text is None and (folder / RAW).exists():
            return
        if text is not None:
            if not self._holds_response(folder, text, raw_metadata):
                self._archive_response(folder, gen_id)
                for name in (PARSED, PARSED_METADATA):
                    (folder / name).unlink(missing_ok=True)
            files.write_text(folder / RAW, text, durable=durable)
        files.write_json(folder / RAW_METADATA, dict(raw_metadata), durable=durable)

    def update_raw_metadata(self, stage: Stage, gen_id: str, changes: Mapping[str, Any]) -> None:
        """Changes some keys of `raw_metadata.json`; unknown keys are kept."""
        path = self.folder(stage, gen_id) / RAW_METADATA
        files.write_json(path, {**(files.find_json(path) or {}), **changes})

    def write_parsed(
        self, stage: Stage, gen_id: str, text: str, parsed_metadata: Mapping[str, Any], *, durable: bool = False
    ) -> None:
        """Stores the parsed text; its metadata first, so that a parsed text always has one."""
        folder = self.folder(stage, gen_id)
        files.write_json(folder / PARSED_METADATA, dict(parsed_metadata), durable=durable)
        files.write_text(folder / PARSED, text, durable=durable)

    def remove_parsed(self, stage: Stage, gen_id: str) -> None:
        """Removes a parsed text that no longer follows from the response."""
        folder = self.folder(stage, gen_id)
        for name in (PARSED, PARSED_METADATA):
            (folder / name).unlink(missing_ok=True)

    def _holds_response(self, folder: Path, text: str, raw_metadata: Mapping[str, Any]) -> bool:
        if (call_id := raw_metadata.get("call_id")) is not None:
            stored = files.find_undamaged_json(folder / RAW_METADATA)
            return stored is not None and stored.get("call_id") == call_id
        return files.find_text(folder / RAW) == text

    def _archive_response(self, folder: Path, gen_id: str) -> None:
        raw = folder / RAW
        if not raw.exists():
            return
        versions = folder / VERSIONS
        with files.explain_os_errors(versions):
            versions.mkdir(exist_ok=True)
            last = _list_versions(versions, gen_id)[-1:]
            if last and last[0].text_path.samefile(raw):
                return  # an earlier attempt got this far and was killed
            number = last[0].number + 1 if last else 1
            # A link and not a move: raw.txt is never missing, not even for the moment until the new one is in place.
            if (folder / RAW_METADATA).exists():
                os.link(folder / RAW_METADATA, versions / f"{gen_id}_v{number}.json")
            os.link(raw, versions / f"{gen_id}_v{number}.txt")


def _require_safe(gen_id: str) -> None:
    if not _SAFE_GEN_ID.fullmatch(gen_id):
        raise StoreError(
            f"'{gen_id}' is no gen_id.", fix="List the ids of the current cohort with `daydreaming status --ids`."
        )


def _find_json_quickly(path: str) -> dict[str, Any] | None:
    """The object in a small JSON file; None when there is anything unusual about it, its absence included."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            value = orjson.loads(os.read(handle, _SMALL_FILE_BYTES))
        finally:
            os.close(handle)
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def compute_text_sha256(text: str) -> str:
    """Hash of a stored text, as metadata files name it."""
    return hashlib.sha256(files.encode(text)).hexdigest()


def _metadata_json(metadata: GenerationMetadata) -> dict[str, Any]:
    fields = ((name, getattr(metadata, name)) for name in GenerationMetadata.__slots__)
    return {name: value for name, value in fields if value is not None}


def _list_versions(folder: Path, gen_id: str) -> list[ResponseVersion]:
    pattern = re.compile(rf"{re.escape(gen_id)}_v(\d+)\.txt")
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    numbers = sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))
    return [ResponseVersion(n, folder / f"{gen_id}_v{n}.txt", folder / f"{gen_id}_v{n}.json") for n in numbers]
