"""Concept combinations on disk: the table of the next cohort, and the registry of every combination ever used.

`2_tasks/selected_combo_mappings.csv` is generated from the active concepts until somebody edits it; from then on it is
taken as it stands, until it is deleted. What tells the two apart is a note of what was generated last.
`combo_mappings.csv` only ever grows: results of years ago still say what their combinations were.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from filelock import FileLock

from daydreaming_dagster.domain.catalogue import DESCRIPTION_LEVELS, Catalogue, DescriptionLevel
from daydreaming_dagster.domain.combinations import Combination, build_all_combinations, has_same_content
from daydreaming_dagster.domain.errors import ConfigurationError, MembershipError, StoreError, require_no_problems
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.ids import compute_combo_id
from daydreaming_dagster.domain.membership import REBUILD_COMMAND
from daydreaming_dagster.store import files
from daydreaming_dagster.store.input_tables import InputLog, Row, read_table, show_path
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.utils.wording import show_count

COMBINATION_COLUMNS = ("combo_id", "version", "concept_id", "description_level", "k_max", "created_at")
"""Columns of both tables; a row per concept of a combination, in the order in which prompts show them."""

_VERSION = "v1"
_COMPUTED_PREFIX = "combo_v1_"


@dataclass(frozen=True, slots=True)
class SelectedCombinations:
    """The combinations of the next Cartesian cohort.

    Attributes:
        curated: they come from a file edited by hand and not from the active concepts.
        note: a sentence for the user about where they come from; empty when they are generated.
    """

    combinations: Sequence[Combination]
    curated: bool = False
    note: str = ""


def read_selected_combinations(
    paths: DataPaths, catalogue: Catalogue, config: ExperimentConfig
) -> SelectedCombinations:
    """The combinations that the next cohort is to have; writes nothing.

    Raises:
        InputErrors: a hand-edited file holds something that is not allowed.
        ConfigurationError: the active concepts make no combination of the wanted size.
    """
    path = paths.selected_combos_csv
    if not path.is_file():
        return _generate(catalogue, config)
    log = InputLog()
    table = _read_rows(path, log)
    if not log.problems and _compute_digest(table) == _find_last_digest(paths):
        return _generate(catalogue, config)
    combinations = _build_curated(path, table, catalogue, log)
    require_no_problems(log.problems)
    if _would_generate(combinations, catalogue, config):
        return SelectedCombinations(combinations)
    count = show_count(len(combinations), "combination")
    return SelectedCombinations(
        combinations,
        curated=True,
        note=f"{show_path(path)} was edited by hand: the cohort has its {count}, whatever concepts are active. "
        "Delete the file to go back to all combinations of the active concepts.",
    )


def write_selected_combinations(
    paths: DataPaths, catalogue: Catalogue, config: ExperimentConfig, *, clock: Callable[[], datetime] | None = None
) -> SelectedCombinations:
    """Brings `selected_combo_mappings.csv` up to date, unless it was edited by hand; says what it holds.

    Raises:
        InputErrors: a hand-edited file holds something that is not allowed.
        ConfigurationError: the active concepts make no combination of the wanted size.
        StoreError: the disk refuses.
    """
    selected = read_selected_combinations(paths, catalogue, config)
    if selected.curated:
        return selected
    path, digest = paths.selected_combos_csv, _digest_combinations(selected.combinations)
    if not path.is_file() or _compute_digest(_read_rows(path, InputLog())) != digest:
        rows = _dump_rows(selected.combinations, _read_creation_times(paths), (clock or _now)())
        files.write_text(path, ",".join(COMBINATION_COLUMNS) + "\n" + rows)
    if _find_last_digest(paths) != digest:
        files.write_json(paths.generated_combos, {"sha256": digest})
    return selected


def find_edited_combinations(paths: DataPaths) -> list[Path]:
    """The table of combinations, where it is there and is not what was generated last."""
    path, log = paths.selected_combos_csv, InputLog()
    if not path.is_file():
        return []
    table = _read_rows(path, log)
    return [path] if log.problems or _compute_digest(table) != _find_last_digest(paths) else []


def read_combo_registry(paths: DataPaths) -> dict[str, Combination]:
    """Every combination ever used, by id.

    Raises:
        InputErrors: the registry is damaged.
    """
    path = paths.combo_registry_csv
    if not path.is_file():
        return {}
    log = InputLog()
    combinations = {combination.combo_id: combination for _, combination in _group(_read_rows(path, log))}
    require_no_problems(log.problems)
    return combinations


def register_combinations(
    paths: DataPaths, combinations: Iterable[Combination], *, clock: Callable[[], datetime] | None = None
) -> int:
    """Appends combinations that the registry does not know yet; returns how many.

    Raises:
        MembershipError: the registry knows one of the ids with other concepts, level or size.
        StoreError: the disk refuses.
    """
    wanted = list(combinations)
    if not find_unregistered(read_combo_registry(paths), wanted):
        return 0
    lock = paths.state / "combinations.lock"
    with files.explain_os_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        path = paths.combo_registry_csv
        missing = find_unregistered(read_combo_registry(paths), wanted)
        before = files.find_text(path) or ",".join(COMBINATION_COLUMNS) + "\n"
        # Other columns, or another order, are the table's own affair: new rows follow its header.
        columns = [name.strip() for name in before.removeprefix("\ufeff").splitlines()[0].split(",")]
        rows = _dump_rows(missing, {}, (clock or _now)(), columns)
        files.write_text(path, before + ("" if before.endswith("\n") else "\n") + rows, durable=True)
    return len(missing)


def find_unregistered(registry: Mapping[str, Combination], combinations: Iterable[Combination]) -> list[Combination]:
    """The combinations whose ids are not in the registry.

    Raises:
        MembershipError: an id is there, but with other concepts, level or size.
    """
    missing = []
    for combination in combinations:
        known = registry.get(combination.combo_id)
        if known is None:
            missing.append(combination)
        elif not has_same_content(known, combination):
            raise MembershipError(
                f"The combination '{combination.combo_id}' is already known as {_show(known)} and cannot become "
                f"{_show(combination)}: results under that id would be mixed up.",
                fix="Give the changed combination another combo_id in 2_tasks/selected_combo_mappings.csv (or delete "
                f"that file), then: {REBUILD_COMMAND}",
                reason="combination_conflict",
                culprits={"combo_id": combination.combo_id},
            )
    return missing


# Reading ------------------------------------------------------------------------------------------------------------
def _read_rows(path: Path, log: InputLog) -> list[Row]:
    required = ("combo_id", "concept_id", "description_level", "k_max")
    return read_table(path, log, required=required, optional=("version", "created_at"))


def _group(rows: Sequence[Row]) -> list[tuple[list[Row], Combination]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.require_id("combo_id"), []).append(row)
    return [(group, _build_combination(combo_id, group)) for combo_id, group in groups.items() if combo_id]


def _build_combination(combo_id: str, rows: Sequence[Row]) -> Combination:
    first = rows[0]
    level = first.choice("description_level", DESCRIPTION_LEVELS, "paragraph", what="unknown description level")
    k_max = first.require_whole("k_max", minimum=1)
    for row in rows[1:]:
        for column in ("description_level", "k_max"):
            if row.text(column) != first.text(column):
                row.refuse(column, f"line {first.line} says {first.text(column)!r} for the same combination")
    concept_ids = tuple(row.require_text("concept_id") for row in rows)
    return Combination(combo_id, concept_ids, cast(DescriptionLevel, level), k_max)


def _build_curated(path: Path, rows: Sequence[Row], catalogue: Catalogue, log: InputLog) -> list[Combination]:
    combinations = []
    for group, combination in _group(rows):
        _check_concepts(group, catalogue)
        _check_id(group[0], combination)
        combinations.append(combination)
    if not rows and not log.problems:
        log.add(path, "the table has no rows", allowed="rows; or delete the file to generate all combinations")
    return combinations


def _check_concepts(rows: Sequence[Row], catalogue: Catalogue) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        concept_id = row.text("concept_id")
        if concept_id in lines:
            row.refuse("concept_id", f"the combination has this concept already in line {lines[concept_id]}")
        elif concept_id and concept_id not in catalogue.concepts:
            row.refuse("concept_id", "unknown concept", allowed="ids of 1_raw/concepts_metadata.csv, active or not")
        lines.setdefault(concept_id, row.line)


def _check_id(row: Row, combination: Combination) -> None:
    concept_ids, k_max = combination.concept_ids, combination.k_max
    if len(concept_ids) != k_max:
        row.refuse("k_max", f"the combination has {len(concept_ids)} concepts", allowed=str(len(concept_ids)))
        return
    expected = compute_combo_id(concept_ids, combination.description_level, k_max)
    if combination.combo_id.startswith(_COMPUTED_PREFIX) and combination.combo_id != expected:
        row.refuse(
            "combo_id",
            "this id belongs to other concepts, another level or another k_max",
            allowed=f"{expected}, or an id of your own that does not begin with {_COMPUTED_PREFIX}",
        )


def _generate(catalogue: Catalogue, config: ExperimentConfig) -> SelectedCombinations:
    concepts = catalogue.active_concepts()
    return SelectedCombinations(build_all_combinations(concepts, config.description_level, config.k_max))


def _would_generate(combinations: Sequence[Combination], catalogue: Catalogue, config: ExperimentConfig) -> bool:
    try:
        generated = _generate(catalogue, config).combinations
    except ConfigurationError:
        return False
    return _digest_combinations(generated) == _digest_combinations(combinations)


# What was generated last --------------------------------------------------------------------------------------------
def _find_last_digest(paths: DataPaths) -> str | None:
    try:
        record = files.find_json(paths.generated_combos)
    except StoreError:
        return None  # without the note, a generated file is recognized by its content
    return None if record is None else str(record.get("sha256"))


def _compute_digest(rows: Iterable[Row]) -> str:
    columns = ("combo_id", "concept_id", "description_level", "k_max")
    return _hash(tuple(row.text(column) for column in columns) for row in rows)


def _digest_combinations(combinations: Iterable[Combination]) -> str:
    return _hash(
        (combination.combo_id, concept_id, combination.description_level, str(combination.k_max))
        for combination in combinations
        for concept_id in combination.concept_ids
    )


def _hash(rows: Iterable[tuple[str, ...]]) -> str:
    return hashlib.sha256("\n".join(",".join(cells) for cells in rows).encode()).hexdigest()


# Writing ------------------------------------------------------------------------------------------------------------
def _read_creation_times(paths: DataPaths) -> dict[str, str]:
    if not paths.combo_registry_csv.is_file():
        return {}
    return {row.text("combo_id"): row.text("created_at") for row in _read_rows(paths.combo_registry_csv, InputLog())}


def _dump_rows(
    combinations: Iterable[Combination],
    created_at: Mapping[str, str],
    now: datetime,
    columns: Sequence[str] = COMBINATION_COLUMNS,
) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n").writerows(
        {
            "combo_id": combination.combo_id,
            "version": _VERSION,
            "concept_id": concept_id,
            "description_level": combination.description_level,
            "k_max": combination.k_max,
            "created_at": created_at.get(combination.combo_id) or now.isoformat(timespec="seconds"),
        }
        for combination in combinations
        for concept_id in combination.concept_ids
    )
    return text.getvalue()


def _now() -> datetime:
    return datetime.now(UTC)


def _show(combination: Combination) -> str:
    concepts = " + ".join(combination.concept_ids)
    return f"{concepts} ({combination.description_level}, k_max {combination.k_max})"
