"""From a hundred thousand evaluations to tables and a report: time and memory, each step in a process of its own.

    python -m benchmarks.findings                      # makes its store in .bench/findings, once
    python -m benchmarks.findings --store              # also writes the table into docs/guides/results.md

`scores, cold disk` reads every evaluation from its files after the system was made to forget them, which takes root and
makes everything else on the machine slow for a while: only when `--steps` asks for it. `scores, no index` reads them
from memory, `scores, index` through the index. `all tables` makes every table of the results groups one after the
other, as the assets do. `a million ratings` builds every table over ratings from a frame of a million. Bars: 30 s for
the first two, 3 s, 60 s, 2 GB.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import orjson
import polars as pl

from benchmarks.rated_store import LARGE, make_store
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments import result_tables as tables
from daydreaming_dagster.experiments.export import write_export
from daydreaming_dagster.experiments.report import write_report
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.cache_files import remove_database
from daydreaming_dagster.store.paths import DataPaths

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- findings benchmark: begin -->", "<!-- findings benchmark: end -->"
MILLION = 1_000_000


def read_scores_without_index(workspace: Workspace) -> str:
    """From the files alone."""
    remove_database(workspace.paths.index)
    return read_scores(workspace)


def read_scores(workspace: Workspace) -> str:
    """Through the index, if there is one."""
    return f"{tables.build_aggregated_scores(workspace).height:,} rows"


def make_tables(workspace: Workspace) -> str:
    """Every table of the results groups, in their order."""
    written = list(_write_tables(workspace))
    return f"{len(written)} tables"


def _write_tables(workspace: Workspace) -> Iterator[tables.WrittenTable]:
    yield tables.write_parsed_scores(workspace)
    yield from (tables.write_summary_table(workspace, name) for name in tables.SUMMARY_TABLES)
    yield tables.write_ratings_long(workspace)
    yield from (tables.write_rating_table(workspace, name) for name in tables.RATING_TABLES)
    yield tables.write_concept_effects(workspace)
    yield tables.write_diversity(workspace)
    yield tables.write_rarefaction(workspace)
    yield tables.write_budget(workspace)
    yield tables.write_aggregated_scores(workspace)
    yield from (tables.write_cross_table(workspace, name) for name in tables.CROSS_TABLES)


def make_report(workspace: Workspace) -> str:
    """With its plots."""
    return f"{write_report(workspace).html.stat().st_size / 2**20:.1f} MB"


def make_export(workspace: Workspace) -> str:
    """Every table as Parquet, and the card."""
    return f"{sum(write_export(workspace).rows.values()):,} rows"


def take_a_million(workspace: Workspace) -> str:
    """The tables over ratings, from ten times as many essays."""
    ratings = pl.read_parquet(tables.summary_path(workspace.paths, "ratings_long").with_suffix(".parquet"))
    copies = -(-MILLION // ratings.height)
    names = ("gen_id", "essay_gen_id", "draft_gen_id", "combo_id")
    many = pl.concat(
        ratings.with_columns(pl.format("{}-{}", name, pl.lit(copy)).alias(name) for name in names)
        for copy in range(copies)
    ).head(MILLION)
    for build in tables.RATING_TABLES.values():
        build(many)
    return f"{many.height:,} ratings"


_COLD = "scores, cold disk"
STEPS: dict[str, Callable[[Workspace], str]] = {
    _COLD: read_scores_without_index,
    "scores, no index": read_scores_without_index,
    "scores, index": read_scores,
    "all tables": make_tables,
    "report": make_report,
    "export": make_export,
    "a million ratings": take_a_million,
}


def run_step(name: str, folder: Path) -> dict[str, object]:
    """What a step took; imports and reading the inputs do not count."""
    workspace = Workspace(DataPaths(folder / "data"), Settings().experiment_config())
    _ = workspace.catalogue
    if name == _COLD:
        forget_files()
    started, used = time.perf_counter(), _read_processor_s()
    result = STEPS[name](workspace)
    seconds, processor_s = time.perf_counter() - started, _read_processor_s() - used
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"step": name, "seconds": seconds, "processor_s": processor_s, "peak_mb": peak_mb, "result": result}


def forget_files() -> None:
    """Makes the system forget all files, except for the code that reads them."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    subprocess.run([sys.executable, "-c", "import sqlite3, orjson, polars"], check=True)


def _read_processor_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def measure(folder: Path, names: list[str]) -> list[str]:
    """The table, a row per step."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"Python {platform.python_version()}, polars {version('polars')}, {os.cpu_count()} cores, load before: {load}.",
        "",
        "| Step | Seconds | Processor, s | Peak MB | Result |",
        "|---|---:|---:|---:|---|",
    ]
    for name in names:
        command = [sys.executable, "-m", "benchmarks.findings", "--folder", str(folder), "--step", name]
        output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        row = orjson.loads(output.splitlines()[-1])
        lines.append(
            f"| {name} | {row['seconds']:.1f} | {row['processor_s']:.1f} | {row['peak_mb']:.0f} | {row['result']} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Makes the store, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "findings", help="where the store is or goes")
    parser.add_argument("--step", choices=list(STEPS), help="only this one, in this process")
    usual = [name for name in STEPS if name != _COLD]
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=usual, help="only these")
    parser.add_argument("--store", action="store_true", help="write the table into docs/guides/results.md")
    options = parser.parse_args()
    if options.step:
        print(orjson.dumps(run_step(options.step, options.folder)).decode())
        return
    paths = DataPaths(options.folder / "data")
    paths.root.mkdir(parents=True, exist_ok=True)
    make_store(paths, LARGE)
    text = "\n".join(measure(options.folder, options.steps))
    print(text)
    if options.store:
        page = ROOT / "docs" / "guides" / "results.md"
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
