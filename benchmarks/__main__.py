"""Measures the engine against its bars and prints the table that stands in `docs/performance.md`.

Every measurement is a process of its own against a server of its own, taken several times in turns with the floor (the
HTTP client alone), because machines are never quiet: what counts is the ratio to the floor of the same minute. What
others did on the machine in that time is measured, too.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the server behaves and how hard it is asked."""

    name: str
    latency_ms: float
    in_flight: int
    server_options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Of the server's command line."""
        return ["--latency-ms", str(self.latency_ms), *self.server_options]


SCENARIOS = (
    Scenario("0 ms, 64 in flight", 0, 64),
    Scenario("500 ms, 64 in flight", 500, 64),
    Scenario("500 ms, 256 in flight", 500, 256),
    Scenario("500 ms on average, heavy tail, 64 in flight", 500, 64, ("--tail",)),
    Scenario("500 ms, 64 in flight, every 20th call a 503", 500, 64, ("--fail-every", "20")),
)
SYSTEMS = ("floor", "engine", "engine+dagster")


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[""], metavar="TEXT", help="scenarios whose name begins so")
    parser.add_argument("--growth", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="cohort sizes")
    parser.add_argument("--limited-minutes", type=float, default=3.0, help="against 600 requests a minute; 0 skips it")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="for scratch data; on the disk to measure")
    parser.add_argument("--store", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    lines = [describe_machine(), ""]
    scenarios = [scenario for scenario in SCENARIOS if scenario.name.startswith(tuple(options.only))]
    lines += measure_scenarios(scenarios, options.requests, options.repeats, options.folder)
    if options.limited_minutes:
        lines += measure_limited(options.limited_minutes, options.folder)
    if options.growth:
        lines += measure_growth(options.growth, options.folder)
    text = "\n".join(lines)
    print(text)
    if options.store:
        store(text)
    shutil.rmtree(options.folder, ignore_errors=True)


def measure_scenarios(scenarios: Sequence[Scenario], requests: int, repeats: int, folder: Path) -> list[str]:
    """A table row per scenario and system."""
    lines = [
        f"{requests} generations each, {repeats} rounds; the median, and the range of the CPU.",
        "",
        "| Scenario | System | CPU per generation, ms | of the floor | span / ideal | pool busy | generations/s | "
        "peak MB | retries | others' work, cores |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in scenarios:
        results: dict[str, list[dict[str, Any]]] = {system: [] for system in SYSTEMS}
        for _ in range(repeats):
            for system in SYSTEMS:
                results[system].append(measure(system, scenario, requests, folder))
        floor = median(results["floor"], "cpu_ms")
        for system in SYSTEMS:
            lines.append(describe(scenario, system, results[system], floor))
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def describe(scenario: Scenario, system: str, results: Sequence[dict[str, Any]], floor: float) -> str:
    """One row."""
    cpu = [result["cpu_ms"] for result in results]
    requests, span = results[0]["requests"], median(results, "span_s")
    ideal = requests / scenario.in_flight * scenario.latency_ms / 1000
    ratio = f"{span / ideal:.2f}" if ideal else "-"
    if system == "engine+dagster":
        records = statistics.median(result["records_s"] / result["span_s"] for result in results)
        ratio += f" (records {records:.2f} x span)"
    busy, retries = "-", "-"
    if system != "floor":
        shares = (result["calls_s"] / result["span_s"] / scenario.in_flight for result in results)
        busy, retries = f"{statistics.median(shares):.0%}", f"{median(results, 'retries'):.0f}"
    return (
        f"| {scenario.name} | {system} | {statistics.median(cpu):.2f} ({min(cpu):.2f}-{max(cpu):.2f}) | "
        f"{statistics.median(cpu) / floor:.1f} x | {ratio} | {busy} | {requests / span:,.0f} | "
        f"{median(results, 'peak_mb'):.0f} | {retries} | {median(results, 'others_cores'):.1f} |"
    )


def measure_limited(minutes: float, folder: Path) -> list[str]:
    """Against a server that allows 600 requests a minute and tells nobody."""
    requests = int(600 * minutes) // 3 * 3
    scenario = Scenario("limited", 100, 32, ("--requests-per-minute", "600"))
    result = measure("engine", scenario, requests, folder)
    allowed = 600 * (1 + result["span_s"] // 60)
    return [
        "",
        f"A server that allows 600 requests a minute and does not say so: {result['made']} of {requests} made in "
        f"{result['span_s']:.0f} s, in which it allowed {allowed:.0f}; {result['retries']} refused "
        f"({result['retries'] / requests:.2%}).",
    ]


def measure_growth(sizes: Sequence[int], folder: Path) -> list[str]:
    """What a cohort costs by its size, half of it done."""
    lines = [
        "",
        "| Generations | build, s | built anew unchanged, s | status, s | plan of a resumed run, s | "
        "index from the files, s | peak MB of building |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        figures = run_child("growth", "http://127.0.0.1:9", size, 64, scratch(folder))
        lines.append(
            f"| {figures['requests']:,} | {figures['build_s']:.2f} | {figures['rebuild_s']:.2f} | "
            f"{figures['status_s']:.2f} | {figures['plan_s']:.2f} | {figures['index_s']:.2f} | "
            f"{figures['build_mb']:.0f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def measure(system: str, scenario: Scenario, requests: int, folder: Path) -> dict[str, Any]:
    """One measurement against a server of its own."""
    others = OthersWork()
    with serve(scenario) as base_url:
        result = run_child(system, base_url, requests, scenario.in_flight, scratch(folder))
    return {**result, "others_cores": others.read_cores()}


class OthersWork:
    """How many cores were busy with what is not the measurement's, since this was made."""

    def __init__(self) -> None:
        self._started, self._busy_s = time.perf_counter(), self._read_busy_s()

    def read_cores(self) -> float:
        """Call it when the measurement's processes have ended."""
        return max(0.0, (self._read_busy_s() - self._busy_s) / (time.perf_counter() - self._started))

    @staticmethod
    def _read_busy_s() -> float:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle, waiting = fields[3:5]
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK") - usage.ru_utime - usage.ru_stime


def run_child(kind: str, base_url: str, requests: int, in_flight: int, place: Path) -> dict[str, Any]:
    """The JSON that the measuring process prints."""
    command = [sys.executable, "-m", "benchmarks.systems", kind, base_url, str(requests), str(in_flight), str(place)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = orjson.loads(output.splitlines()[-1])
    return result


@contextmanager
def serve(scenario: Scenario) -> Iterator[str]:
    """The base URL of a server that lives as long as the body."""
    command = [sys.executable, "-m", "benchmarks.server", *scenario.arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout is not None else ""
        finally:
            process.terminate()


def scratch(folder: Path) -> Path:
    """An empty folder. It stays until the end: file systems are slow for seconds after many files were deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder))


def median(results: Sequence[dict[str, Any]], name: str) -> float:
    """Of one figure."""
    return statistics.median(result[name] for result in results)


def describe_machine() -> str:
    """Where the table was made."""
    names = ("aiohttp", "dagster", "orjson", "pyrate-limiter")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    python = f"Python {platform.python_version()}, {os.cpu_count()} cores ({platform.machine()})"
    return f"{python}, load before: {load}; {versions}."


def store(text: str) -> None:
    """Puts the table between its marks in the documentation."""
    page = ROOT / "docs" / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
