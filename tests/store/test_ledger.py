from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.outcomes import make_call

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.ledger import Amount, Ledger, Limits
from daydreaming_dagster.store.paths import DataPaths

RUN = "run:run-1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(DataPaths(tmp_path))
    yield opened
    opened.close()


def test_a_call_counts_for_its_run_and_its_cohort_once_however_often_it_is_recorded(ledger: Ledger) -> None:
    row = make_call(state="answered", cost_usd=0.2, prompt_tokens=3, completion_tokens=4)
    ledger.record([row])
    ledger.record([row])
    assert ledger.find_scope(RUN)[1] == Amount(0.2, 7)
    assert ledger.find_scope("cohort:cohort-1")[1] == Amount(0.2, 7)


def test_unknown_spend_is_corrected_when_its_cost_is_learned(ledger: Ledger) -> None:
    ledger.record([make_call()])
    assert ledger.find_scope(RUN)[1] == Amount(0.5, 100)
    ledger.record([make_call(state="answered", cost_usd=0.1, prompt_tokens=1, completion_tokens=1)])
    usd, tokens = ledger.find_scope(RUN)[1]
    assert usd == pytest.approx(0.1)
    assert tokens == 2


def test_a_clear_refusal_costs_nothing(ledger: Ledger) -> None:
    ledger.record([make_call(state="failed", reason="overloaded")])
    assert ledger.find_scope(RUN)[1] == Amount(0.0, 0)


def test_leases_and_spending_together_never_exceed_the_limit(ledger: Ledger) -> None:
    ledger.set_limits(RUN, Limits(1.0))
    assert ledger.lease(RUN, "a", Amount(0.4), Amount(0.6)) == Amount(0.6, 0)
    assert ledger.lease(RUN, "b", Amount(0.4), Amount(0.6)) == Amount(0.4, 0)
    assert ledger.lease(RUN, "b", Amount(0.1), Amount(0.1)) is None
    ledger.record([make_call(owner="a", state="answered", cost_usd=0.6)])
    ledger.forget_owner("a")
    assert ledger.lease(RUN, "b", Amount(0.1), Amount(0.1)) is None
    ledger.give_back(RUN, "b", Amount(0.3, 0))
    assert ledger.lease(RUN, "c", Amount(0.1), Amount(0.1)) == Amount(0.1, 0)


def test_a_tree_is_claimed_whole_or_not_at_all(ledger: Ledger) -> None:
    assert ledger.claim("a", [["d_1", "e_1"], ["d_2"]]) == ([0, 1], set())
    assert ledger.claim("b", [["d_3"], ["e_1", "v_9"], ["d_4"]]) == ([0, 2], {"a"})
    assert ledger.claim("c", [["v_9"]]) == ([0], set())
    ledger.release("a", ["d_1", "e_1"])
    assert ledger.claim("b", [["e_1"]]) == ([0], set())


def test_two_connections_see_each_other(tmp_path: Path) -> None:
    first, second = Ledger(DataPaths(tmp_path)), Ledger(DataPaths(tmp_path))
    first.claim("a", [["d_1"]])
    assert second.claim("b", [["d_1"]]) == ([], {"a"})
    first.close()
    second.close()


def test_calls_are_summed_by_what_became_of_them(ledger: Ledger) -> None:
    ledger.record(
        [
            make_call("1", state="answered", cost_usd=0.1, prompt_tokens=1, completion_tokens=2),
            make_call("2", state="answered", cost_usd=None, prompt_tokens=1, completion_tokens=2, reserved_usd=0.0),
            make_call("3", state="failed", reason="overloaded"),
            make_call("4", reason="timeout"),
        ]
    )
    by_state = {row.state: row for row in ledger.summarize("cohort-1")}
    assert by_state["answered"].calls == 2
    assert by_state["answered"].unpriced == 1
    assert by_state["unknown"].cost_usd == 0.5
    assert by_state["failed"].cost_usd == 0.0
    assert ledger.summarize("cohort-2") == []


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["lease", "spend", "back", "die"]), st.floats(0.0, 3.0)),
        max_size=40,
    )
)
def test_whatever_owners_do_the_limit_holds(
    steps: list[tuple[str, str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(DataPaths(tmp_path_factory.mktemp("root")))
    ledger.set_limits(RUN, Limits(5.0))
    leased = dict.fromkeys("abc", 0.0)
    spent = 0.0
    for number, (owner, what, amount) in enumerate(steps):
        if what == "lease" and (granted := ledger.lease(RUN, owner, Amount(amount / 2), Amount(amount))) is not None:
            leased[owner] += granted.usd
        elif what == "spend":
            cost = min(amount, leased[owner])
            ledger.record([make_call(str(number), owner=owner, state="answered", cost_usd=cost, cohort_id="")])
            leased[owner] -= cost
            spent += cost
        elif what == "back":
            part = min(amount, leased[owner])
            ledger.give_back(RUN, owner, Amount(part))
            leased[owner] -= part
        elif what == "die":
            ledger.forget_owner(owner)
            leased[owner] = 0.0
        assert spent + sum(leased.values()) <= 5.0 + 1e-6
    assert ledger.find_scope(RUN)[1].usd == pytest.approx(spent)
    ledger.close()


def test_where_no_ledger_is_an_empty_one_is_seen_and_none_is_made(tmp_path: Path) -> None:
    with closing(Ledger(DataPaths(tmp_path), read_only=True)) as ledger:
        assert ledger.read_columns(["call_id"]) == []
        assert ledger.find_scope(RUN) == (Limits(), Amount())
    assert list(tmp_path.iterdir()) == []


def test_calls_come_oldest_first_and_reading_leaves_no_trace(ledger: Ledger) -> None:
    ledger.record([make_call("call-2", sent_at=2.0), make_call("call-1", sent_at=1.0)])
    ledger.close()
    folder = ledger.paths.ledger.parent
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with closing(Ledger(ledger.paths, read_only=True)) as reader:
        assert reader.read_columns(["call_id", "reserved_usd"]) == [("call-1", 0.5), ("call-2", 0.5)]
        with pytest.raises(StoreError, match="cannot be used"):
            reader.set_limits(RUN, Limits(usd=1.0))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_a_run_has_just_written_is_read(ledger: Ledger) -> None:
    ledger.record([make_call("call-1")])
    with closing(Ledger(ledger.paths, read_only=True)) as reader:
        assert len(reader.find_calls("d_1")) == len(ledger.find_calls("d_1")) == 1


def test_a_ledger_that_is_just_being_made_is_read_as_an_empty_one(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    paths.ledger.parent.mkdir(parents=True)
    paths.ledger.touch()
    with closing(Ledger(paths, read_only=True)) as ledger:
        assert ledger.read_run_means() == []


def test_a_damaged_ledger_is_an_error_with_a_fix(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    paths.ledger.parent.mkdir(parents=True)
    paths.ledger.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        Ledger(paths, read_only=True)
    assert caught.value.fix


@pytest.mark.parametrize(
    "read",
    [
        lambda ledger: ledger.read_columns(["call_id", "owner"]),
        lambda ledger: ledger.find_scope(RUN),
        lambda ledger: ledger.summarize(),
        lambda ledger: ledger.read_run_means(),
        lambda ledger: ledger.find_calls("d_1"),
        lambda ledger: ledger.find_unsettled(),
        lambda ledger: ledger.find_lessees(RUN),
        lambda ledger: ledger.find_owners(),
    ],
)
def test_damage_further_back_in_the_ledger_is_an_error_with_a_fix_whatever_is_read(
    ledger: Ledger, read: Callable[[Ledger], object]
) -> None:
    ledger.record([make_call(f"call-{number}") for number in range(100)])
    ledger.close()
    content = ledger.paths.ledger.read_bytes()
    first_page = 4096  # it holds the names of the tables
    ledger.paths.ledger.write_bytes(content[:first_page] + b"\xff" * (len(content) - first_page))
    with closing(Ledger(ledger.paths, read_only=True)) as reader, pytest.raises(StoreError, match="cannot be used"):
        read(reader)
