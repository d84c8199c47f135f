"""How many generations of a small cohort are stale, remembered for as long as nothing that decides it has changed.

To find it, every template is compiled and every prompt rendered, which takes longer than all else that `daydreaming
status` does. So the count is kept beside a fingerprint of what it followed from: the cohort's rows, the settings, this
program, and of each input and each file of a generation that is compared the time and size. An edit in place changes
those, too.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import daydreaming_dagster
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store import files
from daydreaming_dagster.store.index import SETTLED_NS
from daydreaming_dagster.store.paths import PARSED, RAW_METADATA, DataPaths

CHEAP_MEMBERS = 2000
"""A cohort so small that looking for what is stale takes no noticeable time."""
_PROGRAM = str(Path(daydreaming_dagster.__file__).parent)

_Facts = tuple[int, int, int, int]


def recall_stale_count(workspace: Workspace, cohort: Cohort, *, clock: Callable[[], int] = time.time_ns) -> int | None:
    """How many of a small cohort were made from inputs that have changed since; None for a large one.

    Args:
        workspace: the data root.
        cohort: as it stands there.
        clock: the time, ns.

    Raises:
        ConfigurationError: the inputs cannot be read.
    """
    if len(cohort.members) > CHEAP_MEMBERS:
        return None
    path = workspace.paths.stale_counts
    started_ns = clock()
    fingerprint, changed_ns = _read_fingerprint(workspace, cohort)
    try:
        known = files.find_json(path) or {}
    except StoreError:
        known = {}  # damaged: it is found anew
    match known.get(cohort.cohort_id):
        case {"fingerprint": str(then), "stale": int(stale)} if then == fingerprint:
            return stale
    from daydreaming_dagster.engine.cohort_run import count_stale

    found = count_stale(workspace, cohort)
    # What changed just now may change again without another time: clocks of file systems tick slowly.
    if not workspace.read_only and changed_ns < started_ns - SETTLED_NS:
        with suppress(StoreError):  # the disk is full, say: next time it is found anew
            files.write_json(path, {**known, cohort.cohort_id: {"fingerprint": fingerprint, "stale": found}})
    return found


def _read_fingerprint(workspace: Workspace, cohort: Cohort) -> tuple[str, int]:
    """SHA-256 of all that decides the count, and when the last of the data's files was changed, ns."""
    data = [*_iter_inputs(workspace.paths), *_iter_generations(workspace.paths, cohort)]
    parts = (
        workspace.config,
        cohort.members,
        cohort.combinations,
        data,
        [_find_facts(path) for path in _iter_files(_PROGRAM) if path.endswith(".py")],
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode(errors="replace"))
    return digest.hexdigest(), max((facts[0] for _, facts in data if facts is not None), default=0)


def _iter_inputs(paths: DataPaths) -> Iterator[tuple[str, _Facts | None]]:
    for folder in (paths.raw, paths.templates_root):
        for path in _iter_files(str(folder)) if folder is not None else ():
            yield path, _find_facts(path)
    yield "", _find_facts(str(paths.combo_registry_csv))


def _iter_generations(paths: DataPaths, cohort: Cohort) -> Iterator[tuple[str, _Facts | None]]:
    for member in cohort.members:
        folder = f"{paths.gens}/{member.stage}/{member.gen_id}"
        for name in ("", PARSED, RAW_METADATA):
            yield name, _find_facts(f"{folder}/{name}")


def _iter_files(folder: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [f"{place}/{name}" for name in names]
    return sorted(found)


def _find_facts(path: str) -> _Facts | None:
    """When it was changed last, in whatever way, and was written; its size and number. None when it is not there."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - thousands of them
    except OSError:
        return None
    return facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size, facts.st_ino
