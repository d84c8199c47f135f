from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.outcomes import make_call

from daydreaming_dagster.domain.catalogue import Endpoint, Model
from daydreaming_dagster.domain.errors import BudgetExhaustedError, ConfigurationError, DayDreamingError
from daydreaming_dagster.engine.budget import Budget, BudgetLimits
from daydreaming_dagster.engine.callbook import Call, CallBook
from daydreaming_dagster.engine.prices import compute_cost_usd, compute_worst_case, require_priced
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.llm.protocol import ChatRequest
from daydreaming_dagster.store.journal import Entry
from daydreaming_dagster.store.ledger import Amount, CallRow, Ledger, build_scopes
from daydreaming_dagster.store.paths import DataPaths


class _Recorder:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def note(self, call: CallRow) -> None:
        raise AssertionError(f"{call.call_id} was opened before")

    def record(self, entry: Entry) -> None:
        assert entry.call is not None
        self.reasons.append(entry.call.reason)


SCOPES = build_scopes("run-1", "cohort-1")
PAID = Endpoint("paid", "openai", "http://127.0.0.1/v1")


def make_model(name: str = "maker/model", price: float | None = 1e-6, **fields: object) -> Model:
    return Model("model", name, "", "", True, True, "", "paid", "pool", "", price, price, **fields)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(DataPaths(tmp_path))
    yield opened
    opened.close()


def test_a_call_is_reserved_at_its_worst_and_settled_at_what_it_cost(ledger: Ledger) -> None:
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(usd=1.0))
    worst = Amount(0.6, 10)
    assert budget.try_reserve(worst) == 0.0
    assert budget.try_reserve(worst) is None, "it may fit when the first has ended"
    budget.settle(worst, Amount(0.1, 5))
    assert budget.try_reserve(worst) == 0.0


def test_a_call_that_is_closed_twice_is_settled_once(ledger: Ledger) -> None:
    recorder = _Recorder()
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(usd=1.0))
    book = CallBook(recorder, RunInfo("run-1"), "a", budget)
    worst = Amount(0.6, 10)
    assert budget.try_reserve(worst) == 0.0
    call = Call(make_call("c-1"), worst)
    book.close_failed(call, DayDreamingError("It broke.", fix="Look."), 0.5)
    book.close_unseen(call)
    assert recorder.reasons == ["given_up"], "what broke after the end is written down as unknown"
    with pytest.raises(BudgetExhaustedError):
        budget.try_reserve(worst)
    assert budget.try_reserve(Amount(0.4, 10)) == 0.0, "0.5 were spent, and nothing more is kept back"


def test_when_nothing_is_under_way_and_the_worst_does_not_fit_the_budget_is_reached(ledger: Ledger) -> None:
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(usd=1.0))
    with pytest.raises(BudgetExhaustedError, match="run's budget") as caught:
        budget.try_reserve(Amount(1.5, 10))
    assert "--budget-usd" in caught.value.fix


def test_a_reached_budget_counts_calls_that_the_ledger_has_not_seen_and_names_the_bound_there_is(
    ledger: Ledger,
) -> None:
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(usd=1.0))
    worst = Amount(0.7, 7000)
    assert budget.try_reserve(worst) == 0.0
    budget.settle(worst, Amount(0.4, 300))
    with pytest.raises(BudgetExhaustedError, match=r"\$0\.4000 of \$1\.0000 are spent") as caught:
        budget.try_reserve(worst)
    assert "--budget-usd" in caught.value.fix


def test_a_budget_of_nothing_allows_nothing_that_costs(ledger: Ledger) -> None:
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(tokens=0))
    with pytest.raises(BudgetExhaustedError, match="0 of 0 tokens"):
        budget.try_reserve(Amount(0.0, 1))


def test_a_cohorts_budget_counts_what_earlier_runs_spent_and_still_holds_when_nobody_names_it(ledger: Ledger) -> None:
    Budget(ledger, "a", SCOPES, BudgetLimits(cohort_usd=1.0))
    ledger.record([make_call(owner="a", state="answered", cost_usd=0.8)])
    later = Budget(ledger, "b", build_scopes("run-2", "cohort-1"), BudgetLimits())
    assert later.is_bounded
    with pytest.raises(BudgetExhaustedError, match="cohort's budget"):
        later.try_reserve(Amount(0.3, 1))


def test_a_run_waits_for_what_a_living_one_has_set_aside_and_takes_over_from_a_dead_one(ledger: Ledger) -> None:
    limits = BudgetLimits(cohort_usd=1.0)
    first = Budget(ledger, "a", SCOPES, limits)
    assert first.try_reserve(Amount(0.9, 1)) == 0.0
    second = Budget(ledger, "b", build_scopes("run-2", "cohort-1"), limits)
    delay_s = second.try_reserve(Amount(0.5, 1))
    assert delay_s is not None
    assert delay_s > 0.0
    ledger.forget_owner("a")
    assert second.try_reserve(Amount(0.5, 1)) == 0.0


@pytest.mark.parametrize("name", ["usd", "tokens", "cohort_usd", "cohort_tokens"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_budget_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match="makes no sense"):
        BudgetLimits(**{name: value})  # type: ignore[arg-type]


def test_a_table_price_that_is_too_low_is_believed_once(ledger: Ledger) -> None:
    budget = Budget(ledger, "a", SCOPES, BudgetLimits(usd=10.0))
    worst = Amount(0.1, 10)
    budget.try_reserve(worst)
    budget.settle(worst, Amount(0.3, 10), "model")
    assert budget.scale("model", worst).usd >= 0.3
    assert budget.scale("other", worst) == worst


@pytest.mark.slow
def test_no_run_of_a_thousand_overshoots_with_two_hundred_calls_under_way(tmp_path: Path) -> None:
    """Calls of any size end in any order, some of them with nothing known; ledger and memory are settled apart."""
    dice = random.Random(20)
    for number in range(1000):
        ledger = Ledger(DataPaths(tmp_path / str(number % 20)))
        scopes = build_scopes(f"run-{number}", "")
        limit = dice.choice([dice.uniform(0.05, 3.0), dice.uniform(3.0, 25.0)])
        budget = Budget(ledger, "owner", scopes, BudgetLimits(usd=limit))
        under_way: list[Amount] = []
        unbooked = []
        spent = 0.0
        for step in range(260):
            worst = Amount(dice.uniform(0.01, 0.2), 10)
            try:
                started = len(under_way) < 200 and budget.try_reserve(worst) == 0.0
            except BudgetExhaustedError:
                break
            if started:
                under_way.append(worst)
            if under_way and (not started or dice.random() < 0.3):
                ended = under_way.pop(dice.randrange(len(under_way)))
                cost = ended.usd * dice.choice([0.0, dice.random(), 1.0])
                spent += cost
                budget.settle(ended, Amount(cost, 10))
                unbooked.append(
                    make_call(f"{number}-{step}", owner="owner", run_id=f"run-{number}", cohort_id="",
                              state="answered", cost_usd=cost, prompt_tokens=10)
                )  # fmt: skip
            if dice.random() < 0.05:
                ledger.record(unbooked)
                unbooked = []
            assert spent + sum(worst.usd for worst in under_way) <= limit + 1e-9
        ledger.forget_owner("owner")
        ledger.close()


def test_the_worst_case_counts_every_byte_of_the_prompt_and_the_whole_answer() -> None:
    request = ChatRequest("m", "é" * 100, max_tokens=50)
    assert compute_worst_case(request, make_model(), PAID).tokens == 200 + 64 + 50
    thinking = ChatRequest("m", "", max_tokens=50, params={"max_completion_tokens": 500, "n": 2})
    assert compute_worst_case(thinking, make_model(), PAID).tokens == 64 + 1000


@pytest.mark.parametrize(
    ("usage", "model", "cost"),
    [
        ({"cost_usd": 0.5}, make_model(), 0.5),
        ({"prompt_tokens": 10, "completion_tokens": 20}, make_model(), 30e-6),
        ({"prompt_tokens": 10}, make_model(), None),
        ({"prompt_tokens": 10, "completion_tokens": 20}, make_model(price=None), None),
        ({}, make_model("maker/model:free", price=None), 0.0),
    ],
)
def test_a_cost_is_the_servers_figure_else_the_tables_else_unknown(
    usage: dict[str, float], model: Model, cost: float | None
) -> None:
    assert compute_cost_usd(usage, model, PAID) == (cost if cost is None else pytest.approx(cost))


def test_a_model_without_a_price_asks_for_one_or_for_a_bound_in_tokens() -> None:
    with pytest.raises(ConfigurationError, match="has no price") as caught:
        require_priced(make_model(price=None), PAID)
    assert "--budget-tokens" in caught.value.fix
    require_priced(make_model("maker/model:free", price=None), PAID)
    require_priced(make_model(price=None), Endpoint("own", "embedded"))
