"""Makes the tables of `docs/performance.md` from what was measured, and says which bars are met."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.__main__ import ROOT, SCENARIOS, SYSTEMS, Scenario

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
LIMITED, RECORDS, LARGE, GROWTH = "limited", "records", "large", "growth"
_PLAIN = tuple(scenario for scenario in SCENARIOS if not scenario.server_options)

Rounds = Sequence[Mapping[str, Any]]
Results = Mapping[str, Mapping[str, Any]]


class Bar(NamedTuple):
    """What was promised, what was measured, and whether that is enough."""

    text: str
    measured: str
    is_met: bool


def write_page(results: Results) -> str:
    """All tables."""
    lines = [*_describe_machine(results), "", *_write_scenarios(results)]
    if LARGE in results:
        lines += ["", _describe_large(results[LARGE]["value"])]
    if LIMITED in results:
        lines += ["", _describe_limited(results[LIMITED]["value"])]
    if RECORDS in results:
        lines += ["", _describe_records(results[RECORDS]["value"])]
    if GROWTH in results:
        lines += ["", *_write_growth(results[GROWTH]["value"])]
    lines += ["", "| Bar | Measured | |", "|---|---|---|"]
    lines += [f"| {bar.text} | {bar.measured} | {'met' if bar.is_met else 'missed'} |" for bar in _find_bars(results)]
    return "\n".join(lines)


def store(text: str) -> None:
    """Puts the tables between their marks in the documentation."""
    page = ROOT / "docs" / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _describe_machine(results: Results) -> Iterator[str]:
    for machine, versions in sorted({(part["machine"], part["versions"]) for part in results.values()}):
        days = sorted(part["at"][:10] for part in results.values() if part["versions"] == versions)
        yield f"{machine}; {versions}; measured {' to '.join(dict.fromkeys((days[0], days[-1])))}."


# --- the scenarios ---------------------------------------------------------------------------------------------------


def _write_scenarios(results: Results) -> Iterator[str]:
    yield (
        "| Scenario | System | CPU per generation, ms | of it kernel | of the floor | span / ideal | pool busy | "
        "generations/s | peak MB | retries | others' work, cores |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for scenario in SCENARIOS:
        if scenario.name in results:
            rounds = results[scenario.name]["value"]
            yield from (_describe(scenario, system, rounds[system], rounds["floor"]) for system in SYSTEMS)


def _describe(scenario: Scenario, system: str, rounds: Rounds, floor: Rounds) -> str:
    cpu = [each["cpu_ms"] for each in rounds]
    ratio = f"{_find_ratio(scenario, rounds):.2f}" if scenario.latency_ms else "-"
    if system == "engine+dagster":
        ratio += f" (records {_find_records_ratio(rounds):.2f} x span)"
    busy, retries = "-", "-"
    if system != "floor":
        shares = (each["calls_s"] / each["span_s"] / scenario.in_flight for each in rounds)
        busy, retries = f"{statistics.median(shares):.0%}", f"{_median(rounds, 'retries'):.0f}"
    of_the_floor = statistics.median(cpu) / _median(floor, "cpu_ms")
    return (
        f"| {scenario.name} | {system} | {statistics.median(cpu):.2f} ({min(cpu):.2f}-{max(cpu):.2f}) | "
        f"{_median(rounds, 'kernel_ms'):.2f} | {of_the_floor:.1f} x | {ratio} | {busy} | "
        f"{_find_rate(rounds):,.0f} | {_median(rounds, 'peak_mb'):.0f} | {retries} | "
        f"{_median(rounds, 'others_cores'):.1f} |"
    )


def _median(rounds: Rounds, name: str) -> float:
    return statistics.median(each[name] for each in rounds)


def _find_ratio(scenario: Scenario, rounds: Rounds) -> float:
    return _median(rounds, "span_s") / (rounds[0]["requests"] / scenario.in_flight * scenario.latency_ms / 1000)


def _find_records_ratio(rounds: Rounds) -> float:
    return statistics.median(each["records_s"] / each["span_s"] for each in rounds)


def _find_rate(rounds: Rounds) -> float:
    return float(rounds[0]["requests"] / _median(rounds, "span_s"))


# --- the others ------------------------------------------------------------------------------------------------------


def _describe_large(run: Mapping[str, Any]) -> str:
    return (
        f"{run['requests']:,} generations in one run, 64 in flight, no latency: {run['span_s']:.0f} s, "
        f"{run['cpu_ms']:.2f} ms of CPU each ({run['kernel_ms']:.2f} of it in the kernel), {run['peak_mb']:.0f} MB at "
        "the most, the building of the cohort included."
    )


def _count_refused(served: Mapping[str, Any]) -> int:
    return int(served["received"] - served["answered"])


def _describe_limited(served: Mapping[str, Any]) -> str:
    return (
        f"A server that allows 600 requests a minute and does not say so answered {served['answered']} of the "
        f"{600 * served['minutes']} it allowed in {served['minutes']} minutes, and refused {_count_refused(served)} "
        f"({_count_refused(served) / served['received']:.2%})."
    )


def _describe_records(run: Mapping[str, Any]) -> str:
    return (
        f"Telling Dagster of {run['requests']:,} generations, three materializations each, and nothing else: "
        f"{run['requests'] * run['cpu_ms'] / 1000:.1f} s of CPU."
    )


def _write_growth(sizes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "Cohorts by their size, half of each done, in seconds of wall time:"
    yield ""
    yield (
        "| Generations | build | its peak, MB | built anew unchanged | status | `daydreaming status` | plan of a "
        "resumed run | resumed until its first call, process start included | index from the files |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for each in sizes:
        yield (
            f"| {each['requests']:,} | {each['build_s']:.2f} | {each['build_mb']:.0f} | {each['rebuild_s']:.2f} | "
            f"{each['status_s']:.2f} | {each['status_command_s']:.2f} | {each['plan_s']:.2f} | "
            f"{each['first_call_s']:.2f} | {each['index_s']:.2f} |"
        )


# --- the bars --------------------------------------------------------------------------------------------------------


def _find_bars(results: Results) -> Iterator[Bar]:
    measured = {scenario: results[scenario.name]["value"] for scenario in _PLAIN if scenario.name in results}
    if measured:
        yield from _find_run_bars(measured)
    if LARGE in results:
        peak = results[LARGE]["value"]["peak_mb"]
        yield Bar("300 MB for 100,000 generations", f"{peak:.0f}", peak <= 300)
    if LIMITED in results:
        served = results[LIMITED]["value"]
        share = served["answered"] / (600 * served["minutes"])
        refused = _count_refused(served) / served["received"]
        text = "95 % of what a server allows, under 1 % refused"
        yield Bar(text, f"{share:.1%}, {refused:.2%}", share >= 0.95 and refused < 0.01)
    if RECORDS in results:
        run = results[RECORDS]["value"]
        spent_s = run["requests"] * run["cpu_ms"] / 1000
        yield Bar(f"40 s of CPU for {run['requests']:,} x 3 events of Dagster's", f"{spent_s:.1f}", spent_s <= 40)
    if GROWTH in results:
        yield from _find_growth_bars(results[GROWTH]["value"][-1])


def _find_run_bars(measured: Mapping[Scenario, Mapping[str, Rounds]]) -> Iterator[Bar]:
    for system, most_ms in (("engine", 1.5), ("engine+dagster", 4.0)):
        cpu = [_median(rounds[system], "cpu_ms") for rounds in measured.values()]
        yield Bar(f"{most_ms:g} ms of CPU, {system}", _join(cpu), max(cpu) <= most_ms)
    for in_flight, most in ((64, 1.1), (256, 1.4)):
        spans = [
            _find_ratio(scenario, rounds[system])
            for scenario, rounds in measured.items()
            for system in SYSTEMS[1:]
            if scenario.latency_ms and scenario.in_flight == in_flight
        ]
        if spans:
            yield Bar(
                f"{most:g} x the ideal span at {in_flight}, without and with Dagster", _join(spans), max(spans) <= most
            )
    rates = [
        _find_rate(rounds[system])
        for scenario, rounds in measured.items()
        for system in SYSTEMS[1:]
        if not scenario.latency_ms
    ]
    if rates:
        text = "450 generations/s at 0 ms, without and with Dagster"
        yield Bar(text, ", ".join(f"{rate:.0f}" for rate in rates), min(rates) >= 450)
    told = [each for rounds in measured.values() for each in rounds["engine+dagster"]]
    late = max(each["records_s"] - 1.5 * each["span_s"] for each in told)
    ratios = [_find_records_ratio(rounds["engine+dagster"]) for rounds in measured.values()]
    yield Bar("Dagster's records within 1.5 x span + 5 s", f"{_join(ratios)} x", late <= 5)


def _find_growth_bars(largest: Mapping[str, Any]) -> Iterator[Bar]:
    for what, name, most in (
        ("to build", "build_s", 15),
        ("to build it anew unchanged", "rebuild_s", 5),
        ("for `daydreaming status`", "status_command_s", 1.5),
        ("until the first call of a resumed run", "first_call_s", 10),
    ):
        yield Bar(f"{largest['requests']:,}: {most} s {what}", f"{largest[name]:.1f}", largest[name] <= most)
    yield Bar(f"{largest['requests']:,}: 600 MB to build", f"{largest['build_mb']:.0f}", largest["build_mb"] <= 600)


def _join(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
