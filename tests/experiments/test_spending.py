"""The table of the spending counts every call that was paid for, whatever came of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, evaluations, spread
from tests.store.outcomes import make_call

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.experiments.report_caveats import find_caveats
from daydreaming_dagster.experiments.report_material import read_material
from daydreaming_dagster.experiments.report_run import build_cost_section
from daydreaming_dagster.experiments.scope import read_scope, scope_of_cohort, scope_of_store
from daydreaming_dagster.experiments.scope_tables import build_scope_tables
from daydreaming_dagster.store.ledger import Amount, Ledger, find_cohort_scope

ANSWERED = {"state": "answered", "prompt_tokens": 100, "completion_tokens": 10, "cost_usd": 0.001, "ended_at": 3.0}


def record(root: RatedRoot, member: Member, *attempts: dict[str, Any], cohort: str = "") -> None:
    """Writes calls for a generation into the ledger, in this order."""
    with closing(Ledger(root.paths)) as ledger:
        ledger.record(
            [
                make_call(
                    f"{cohort}-{member.gen_id}-{at}",
                    gen_id=member.gen_id,
                    stage=str(member.stage),
                    template_id=member.template_id,
                    llm_model_id=member.llm_model_id,
                    cohort_id=cohort or root.workspace().require_current_cohort().cohort_id,
                    sent_at=float(at),
                    **{"reserved_usd": 0.0022, "reserved_tokens": 900, **attempt},
                )
                for at, attempt in enumerate(attempts)
            ]
        )


def read_total(root: RatedRoot) -> dict[str, Any]:
    workspace = root.workspace()
    table = build_scope_tables(workspace, scope_of_cohort(workspace.require_current_cohort())).tables["budget"]
    return table.filter(pl.col("level") == "total").row(0, named=True)


def read_spent(root: RatedRoot) -> Amount:
    """As `daydreaming budget` says."""
    with closing(Ledger(root.paths)) as ledger:
        return ledger.find_scope(find_cohort_scope(root.workspace().require_current_cohort().cohort_id))[1]


@pytest.fixture
def lossy(root: RatedRoot) -> RatedRoot:
    """A run of which one call failed, one ended without a word, and one answer was read and the next one not."""
    members = root.run(spread)
    first, second, third = evaluations(members)[:3]
    root.keep(third, "no score in this", None)
    for member in members:
        if member not in (first, second, third):
            record(root, member, ANSWERED)
    record(root, first, {"state": "failed", "reason": "server_error", "ended_at": 1.0}, ANSWERED)
    record(root, second, {}, ANSWERED)
    record(root, third, ANSWERED, ANSWERED)
    return root


def test_calls_that_failed_or_are_unknown_count_and_the_total_is_what_the_ledger_says(lossy: RatedRoot) -> None:
    made = len(lossy.workspace().require_current_cohort().members)
    total = read_total(lossy)
    assert (total["generations"], total["calls"], total["failed_calls"]) == (made, made + 3, 3)
    assert (total["calls_of_unknown_cost"], total["unknown_cost_usd_at_most"]) == (1, pytest.approx(0.0022))
    assert total["cost_usd"] == pytest.approx(0.001 * (made + 1))
    assert total["cost_usd"] + total["unknown_cost_usd_at_most"] == pytest.approx(read_spent(lossy).usd)
    told = total["prompt_tokens"] + total["completion_tokens"]
    assert (told, total["unknown_tokens_at_most"]) == (110 * (made + 1), 900)
    assert told + total["unknown_tokens_at_most"] == read_spent(lossy).tokens


def test_the_report_says_what_the_unknown_call_can_have_cost(lossy: RatedRoot) -> None:
    workspace = lossy.workspace()
    material = read_material(workspace, read_scope(workspace))
    lead = str(build_cost_section(material).blocks[0])
    assert "besides up to $0.0022 for 1 call of unknown cost" in lead
    assert "completion tokens (and up to 900 more, of calls that told none)" in lead
    assert any("What 1 call cost is not known (at most $0.0022 in all)" in caveat for caveat in find_caveats(material))


def test_where_the_tokens_of_silent_calls_have_no_bound_the_report_says_that_tokens_are_unknown(
    root: RatedRoot,
) -> None:
    for member in root.run(spread):
        root.store.update_raw_metadata(member.stage, member.gen_id, {"usage": None})
    workspace = root.workspace()
    lead = str(build_cost_section(read_material(workspace, read_scope(workspace))).blocks[0])
    assert "(and an unknown number of tokens of calls that told none)" in lead


def test_without_a_ledger_the_stored_responses_count(root: RatedRoot) -> None:
    made = len(root.run(spread))
    total = read_total(root)
    assert (total["calls"], total["cost_usd"]) == (made, pytest.approx(0.001 * made))
    assert not root.paths.ledger.exists()


def test_generations_older_than_the_ledger_count_by_their_files(root: RatedRoot) -> None:
    members = root.run(spread)
    record(root, members[-1], ANSWERED, ANSWERED)
    assert read_total(root)["calls"] == len(members) + 1


def test_what_another_cohort_paid_for_is_only_counted_over_all_of_them(root: RatedRoot) -> None:
    members = root.run(spread)
    record(root, members[-1], ANSWERED, cohort="another")
    assert read_total(root)["calls"] == len(members) - 1
    workspace = root.workspace()
    of_all = build_scope_tables(workspace, scope_of_store(workspace)).tables["budget"]
    assert of_all.filter(pl.col("level") == "total")["calls"].item() == len(members)


def test_an_unusable_answer_stays_unusable_when_the_next_attempt_has_no_answer(root: RatedRoot) -> None:
    members = root.run(spread)
    lost = evaluations(members)[0]
    root.keep(lost, None, None)
    record(root, lost, ANSWERED, {"state": "failed", "reason": "timeout"})
    total = read_total(root)
    assert (total["calls"], total["failed_calls"]) == (len(members) + 1, 1)
