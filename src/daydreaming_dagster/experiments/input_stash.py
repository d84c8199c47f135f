"""Copies of the active rows under `experiments/<experiment_id>/`, so that one can see later what an experiment used."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths

_EXPERIMENT_NAME = re.compile(r"\w[\w.+@~-]*")

Row = dict[str, str]


def stash_active_inputs(workspace: Workspace, experiment_id: str) -> Path:
    """Writes the active rows of the input tables as they stand now, over older copies; returns their folder.

    Raises:
        ConfigurationError: the experiment's name cannot be a folder.
        StoreError: the disk refuses.
    """
    if not _EXPERIMENT_NAME.fullmatch(experiment_id):
        raise ConfigurationError(
            f"'{experiment_id}' cannot be the name of an experiment: it becomes a folder.",
            fix="Use letters, digits and . _ - + @ ~, for example: --tag experiment_id=exp_default_mode_only",
        )
    catalogue, paths = workspace.catalogue, workspace.paths
    active = {concept.concept_id for concept in catalogue.active_concepts()}
    folder = paths.experiments / experiment_id
    _copy_rows(paths.concepts_csv, folder / "active_concepts.csv", lambda row: row["concept_id"] in active)
    for stage in Stage:
        names = {template.template_id for template in catalogue.active_templates(stage)}
        _copy_rows(
            paths.templates_csv(stage),
            folder / f"active_{stage}_templates.csv",
            lambda row, names=names: row["template_id"] in names,  # type: ignore[misc]
        )
    used = {model.id for model in (*catalogue.generation_models(), *catalogue.evaluation_models())}
    _copy_rows(paths.models_csv, folder / "active_llm_models.csv", lambda row: row["id"] in used)
    _copy_selections(paths, folder)
    return folder


def _copy_rows(source: Path, target: Path, is_kept: Callable[[Row], bool]) -> None:
    reader = csv.DictReader(io.StringIO(files.read_text(source).removeprefix("\ufeff"), newline=""))
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    rows = ({name: (row[name] or "").strip() for name in columns} for row in reader)
    writer.writerows(row for row in rows if is_kept(row))
    files.write_text(target, text.getvalue())


def _copy_selections(paths: DataPaths, folder: Path) -> None:
    for source in (paths.selected_essays, paths.selected_drafts):
        text = files.find_text(source)
        if text is None:
            (folder / source.name).unlink(missing_ok=True)
        else:
            files.write_text(folder / source.name, text)
