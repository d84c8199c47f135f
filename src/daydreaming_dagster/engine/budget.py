"""Money and tokens: each call is reserved at its worst case before it is sent, and settled when it has ended.

Reservations are taken out of a lease, a part of the budget that this run has set aside in the ledger, so that not every
call has to ask the ledger. Whatever fails, and however many processes spend at the same time, the sum of what was spent
and what could still be is never above the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from daydreaming_dagster.domain.errors import BudgetExhaustedError, ConfigurationError
from daydreaming_dagster.store.ledger import Amount, Ledger, Limits

_LEASES_PER_BUDGET = 64
_ASK_OTHERS_AGAIN_S = 0.5
_NOTHING = Amount()
_OPTIONS = {
    "usd": "--budget-usd",
    "tokens": "--budget-tokens",
    "cohort_usd": "--cohort-budget-usd",
    "cohort_tokens": "--cohort-budget-tokens",
}


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What a run may spend, and its cohort in all its runs together; None where there is no bound.

    Attributes:
        usd, tokens: of this run.
        cohort_usd, cohort_tokens: of the cohort, what earlier runs spent included.
    """

    usd: float | None = None
    tokens: int | None = None
    cohort_usd: float | None = None
    cohort_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigurationError(
                    f"A budget of {value} makes no sense.", fix=f"Give {_OPTIONS[name]} 0 or more."
                )

    def of_scopes(self, scopes: tuple[str, ...]) -> dict[str, Limits]:
        """The bounds by scope of the ledger; scopes without one are left out."""
        bounds = (Limits(self.usd, self.tokens), Limits(self.cohort_usd, self.cohort_tokens))
        return {scope: limits for scope, limits in zip(scopes, bounds, strict=False) if limits != Limits()}


class Budget:
    """The bounds of one run. Use it from one thread.

    Args:
        ledger: where leases are kept.
        owner: the run's id.
        scopes: names under which the run's spending is counted.
        limits: the bounds.
        recover: puts in place what killed processes left, so that their leases come back; called before giving up.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        scopes: tuple[str, ...],
        limits: BudgetLimits,
        recover: Callable[[], object] = lambda: None,
    ) -> None:
        self.limits = limits
        self._ledger = ledger
        self._owner = owner
        self._recover = recover
        self._available: dict[str, Amount] = {}
        self._bounds: Mapping[str, Limits] = limits.of_scopes(scopes)
        self._reserved = 0
        self._settled = _NOTHING
        self._spent_before: dict[str, Amount] = {}
        self._overrun: dict[str, float] = {}
        for scope in scopes:
            known, self._spent_before[scope] = ledger.find_scope(scope)
            bounds = self._bounds.get(scope, Limits())
            if bounds != known and (bounds != Limits() or scope.startswith("run:")):
                ledger.set_limits(scope, bounds)
            elif known != Limits():  # a bound that an earlier run gave the cohort still holds
                self._bounds = {**self._bounds, scope: known}
        self._available = dict.fromkeys(self._bounds, _NOTHING)

    @property
    def is_bounded(self) -> bool:
        """Whether there is any bound at all."""
        return bool(self._bounds)

    @property
    def bounds_money(self) -> bool:
        """Whether prices matter."""
        return any(bounds.usd is not None for bounds in self._bounds.values())

    def scale(self, model_id: str, worst: Amount) -> Amount:
        """The worst case of a call, in the light of what calls of the model really cost."""
        return Amount(worst.usd * self._overrun.get(model_id, 1.0), worst.tokens)

    def try_reserve(self, worst: Amount) -> float | None:
        """Sets the worst case of one call aside.

        Returns:
            0.0 when it is set aside; else after how many seconds to ask again, or None for as soon as one of this
            run's own calls has ended.

        Raises:
            BudgetExhaustedError: it does not fit, and nothing that is under way can change that.
        """
        for scope, bounds in self._bounds.items():
            usd, tokens = worst - self._available[scope]
            missing = Amount(max(0.0, usd), max(0, tokens))
            if missing != _NOTHING and not self._extend(scope, bounds, missing):
                if self._reserved:
                    return None
                return self._wait_or_give_up(scope, bounds, worst)
        for scope in self._bounds:
            self._available[scope] -= worst
        self._reserved += 1
        return 0.0

    def cancel(self, worst: Amount) -> None:
        """The call was not sent."""
        self.settle(worst, _NOTHING)

    def settle(self, worst: Amount, spent: Amount, model_id: str = "") -> None:
        """The call has ended; what it did not use is free for others."""
        self._reserved -= 1
        self._settled += spent
        for scope in self._bounds:
            self._available[scope] += worst - spent
        if worst.usd > 0 and spent.usd > worst.usd:  # the price in the table is too low: believe it no longer
            self._overrun[model_id] = max(self._overrun.get(model_id, 1.0), 1.1 * spent.usd / worst.usd)

    def _extend(self, scope: str, bounds: Limits, missing: Amount) -> bool:
        shares = Amount((bounds.usd or 0.0) / _LEASES_PER_BUDGET, (bounds.tokens or 0) // _LEASES_PER_BUDGET)
        wanted = Amount(max(missing.usd, shares.usd), max(missing.tokens, shares.tokens))
        granted = self._ledger.lease(scope, self._owner, missing, wanted)
        if granted is None:
            return False
        self._available[scope] += granted
        return True

    def _wait_or_give_up(self, scope: str, bounds: Limits, worst: Amount) -> float:
        for leased, amount in self._available.items():
            self._ledger.give_back(leased, self._owner, amount)
            self._available[leased] = _NOTHING
        self._recover()
        if self._ledger.find_lessees(scope) - {self._owner}:
            return _ASK_OTHERS_AGAIN_S
        _, booked = self._ledger.find_scope(scope)
        own = self._spent_before[scope] + self._settled  # the ledger may not have the last calls yet
        spent = Amount(max(booked.usd, own.usd), max(booked.tokens, own.tokens))
        what, prefix = ("cohort's", "cohort_") if scope.startswith("cohort:") else ("run's", "")
        is_money = bounds.usd is not None and (bounds.tokens is None or worst.usd > bounds.usd - spent.usd)
        option = _OPTIONS[prefix + ("usd" if is_money else "tokens")]
        remove = " The bound is kept for all runs of the cohort; to remove it: daydreaming budget --remove"
        raise BudgetExhaustedError(
            f"The {what} budget is reached: {describe_spending(bounds, spent)}, and the next call could use up to "
            f"${worst.usd:.4f} and {worst.tokens:,} tokens.",
            fix=f"Run the same command again with a larger {option} to do the rest." + (remove if prefix else ""),
        )


def describe_spending(bounds: Limits, spent: Amount) -> str:
    """What is spent, of how much where there is a bound, in a few words."""
    money = f"${spent.usd:.4f}" + (f" of ${bounds.usd:.4f}" if bounds.usd is not None else "")
    tokens = f"{spent.tokens:,}" + (f" of {bounds.tokens:,}" if bounds.tokens is not None else "") + " tokens"
    if bounds == Limits():
        return f"{money} and {tokens} are spent"
    told = [text for text, bound in ((money, bounds.usd), (tokens, bounds.tokens)) if bound is not None]
    return f"{' and '.join(told)} are spent"
