"""This project's engine beside other tools that do the same work: `python -m benchmarks.peers` (`make peers` first).

Every run is a process tree of its own against a server of its own. Runs are added to `benchmarks/results/peers.jsonl`
as they end, so that a long measurement can be made in pieces; the table is made from all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from benchmarks.__main__ import ROOT, SCENARIOS, Scenario
from benchmarks.peers.kill import Kill, kill
from benchmarks.peers.runs import ANSWERS, ENVIRONMENTS, OURS, PEERS, Run, find_python, measure

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
RESULTS = ROOT / "benchmarks" / "results" / "peers.jsonl"
COMPARED = tuple(
    Scenario(scenario.name, scenario.latency_ms, scenario.in_flight, ANSWERS)
    for scenario in SCENARIOS
    if not scenario.server_options
)
KILLED = ("engine", "curator", "inspect_ai", "distilabel")
KILLED_REQUESTS = 600


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2100)
    parser.add_argument("--rounds", type=int, default=3, help="of every scenario; 0 for none")
    parser.add_argument("--kills", type=int, default=3, help="of every tool that keeps anything; 0 for none")
    parser.add_argument("--only", nargs="*", default=[""], metavar="TEXT", help="scenarios whose name begins so")
    parser.add_argument("--systems", nargs="*", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where `make peers` installed them")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="for scratch data; on the disk to measure")
    parser.add_argument("--anew", action="store_true", help="forget earlier runs")
    parser.add_argument("--store", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if options.anew:
        RESULTS.unlink(missing_ok=True)
    RESULTS.parent.mkdir(exist_ok=True)
    installed = [system for system in options.systems if find_python(system, options.environments)]
    scenarios = [scenario for scenario in COMPARED if scenario.name.startswith(tuple(options.only))]
    for _ in range(options.rounds):
        for scenario in scenarios:
            for system in installed:
                keep(measure(system, scenario, options.requests, options.folder, options.environments))
    for _ in range(options.kills):
        for system in (system for system in KILLED if system in installed):
            keep(kill(system, KILLED_REQUESTS, options.folder, options.environments, random.Random()))
    shutil.rmtree(options.folder, ignore_errors=True)
    text = "\n".join(write_report(*read_results(), options.environments))
    print(text)
    if options.store:
        store(text)


def keep(result: Run | Kill) -> None:
    """Adds a result to those of earlier runs."""
    print(result.dump().decode(), end="", file=sys.stderr, flush=True)
    with RESULTS.open("ab") as file:
        file.write(result.dump())


def read_results() -> tuple[list[Run], list[Kill]]:
    """All runs and kills since they were last forgotten."""
    rows = [orjson.loads(line) for line in RESULTS.read_bytes().splitlines()] if RESULTS.exists() else []
    runs = [Run(**row) for row in rows if "scenario" in row]
    return runs, [Kill(**row) for row in rows if "scenario" not in row]


def write_report(runs: Sequence[Run], kills: Sequence[Kill], environments: Path = ENVIRONMENTS) -> Iterator[str]:
    """The lines of the table and of what stands around it."""
    versions = {run.system: ", ".join(" ".join(pair) for pair in run.versions.items()) for run in runs if run.versions}
    tools = "; ".join(f"{system}: {packages}" for system, packages in versions.items())
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores ({platform.machine()})"
    yield f"{machine}. {tools}. Medians, and the range of the CPU; the most memory."
    yield ""
    yield (
        "| Scenario | System | CPU per generation, ms | of the floor | last answer / ideal | "
        "end / ideal | generations/s | peak MB | rounds | others' work, cores |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for scenario in COMPARED:
        of_scenario = [run for run in runs if run.scenario == scenario.name]
        floor = [run.cpu_ms for run in of_scenario if run.system == "floor"]
        for system in (*OURS, *PEERS):
            own = [run for run in of_scenario if run.system == system]
            if own:
                yield describe(scenario, system, own, statistics.median(floor) if floor else None)
            else:
                missing = "not measured" if find_python(system, environments) else "not installed: make peers"
                yield f"| {scenario.name} | {system} | {missing} | - | - | - | - | - | 0 | - |"
    yield ""
    yield "| Killed half way | finished answers asked for again | of finished | kills |"
    yield "|---|---|---|---|"
    for system in KILLED:
        yield describe_kills(system, [kill for kill in kills if kill.system == system])


def describe(scenario: Scenario, system: str, own: Sequence[Run], floor_ms: float | None) -> str:
    """One row."""
    cpu = [run.cpu_ms for run in own]
    asking_s, done_s = (statistics.median(getattr(run, name) for run in own) for name in ("asking_s", "done_s"))
    ideal_s = own[0].requests / scenario.in_flight * scenario.latency_ms / 1000
    spans = [f"{span_s / ideal_s:.2f}" if ideal_s else "-" for span_s in (asking_s, done_s)]
    shown = f"{statistics.median(cpu):.2f}" + (f" ({min(cpu):.2f}-{max(cpu):.2f})" if len(cpu) > 1 else "")
    of_floor = f"{statistics.median(cpu) / floor_ms:.1f} x" if floor_ms else "-"
    return (
        f"| {scenario.name} | {system} | {shown} | {of_floor} | {' | '.join(spans)} | "
        f"{own[0].requests / done_s:,.0f} | {max(run.peak_mb for run in own):.0f} | {len(own)} | "
        f"{statistics.median(run.others_cores for run in own):.1f} |"
    )


def describe_kills(system: str, kills: Sequence[Kill]) -> str:
    """One row."""
    if not kills:
        return f"| {system} | not measured | - | 0 |"
    repeated = [kill.repeated for kill in kills if kill.repeated is not None]
    finished = sum(kill.finished for kill in kills if kill.repeated is not None)
    stuck = len(kills) - len(repeated)
    cell = f"{sum(repeated)} of {finished}" if repeated else "-"
    if stuck:
        cell += f"; {stuck} of {len(kills)} second runs did not end"
    share = f"{sum(repeated) / finished:.1%}" if finished else "-"
    return f"| {system} | {cell} | {share} | {len(kills)} |"


def store(text: str) -> None:
    """Puts the table between its marks in the documentation."""
    page = ROOT / "docs" / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
