"""When a call that failed is sent again, and what can be asked to be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from daydreaming_dagster.domain.errors import (
    ModelCallError,
    RateLimitedError,
    TransportError,
    UsageError,
)
from daydreaming_dagster.utils.wording import suggest

LONGEST_WAIT_S = 3600.0
"""A server that asks for a longer wait is not busy but done for the day."""

_LASTING = (
    "truncated empty too_short parse_failed content_filter content_policy context_length max_tokens bad_request "
    "unauthorized payment_required forbidden privacy_restricted model_unknown stale"
)
_PASSING = (
    "rate_limited daily_quota unreachable connection timeout overloaded server_error bad_response transport budget "
    "store disk_full parent_missing interrupted internal refused"
)


def require_known_reasons(retry: Collection[str], stored: Collection[str]) -> None:
    """Checks what is to be called again; passing failures are called again anyway, and may be named.

    Args:
        retry: as somebody typed it.
        stored: reasons among the failures at hand, those of other versions among them.

    Raises:
        UsageError: nothing fails for such a reason.
    """
    lasting = _LASTING.split()
    known = {*lasting, *_PASSING.split(), *stored}
    for reason in sorted(set(retry) - known):
        raise UsageError(
            f"Nothing fails for the reason {reason!r}, which --retry names{suggest(reason, known)}",
            fix=f"Use --retry with some of these, separated by commas: {', '.join(lasting)}.",
        )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call that failed in passing is sent again: exponential, jittered, a server's own wish first.

    Attributes:
        max_attempts: attempts per generation and run, the first one included.
        max_rate_limited: attempts when the server says "too many requests"; that costs nothing but time.
        base_s, cap_s: first and longest delay, seconds.
    """

    max_attempts: int = 6
    max_rate_limited: int = 40
    base_s: float = 1.0
    cap_s: float = 60.0

    def find_delay_s(self, error: ModelCallError, attempts: int, jitter: float) -> float | None:
        """Seconds until the next attempt; None when there is to be none.

        Args:
            error: how the last attempt ended.
            attempts: attempts so far.
            jitter: random number in [0, 1).
        """
        if not isinstance(error, RateLimitedError | TransportError):
            return None
        limit = self.max_rate_limited if isinstance(error, RateLimitedError) else self.max_attempts
        if attempts >= limit:
            return None
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            return error.retry_after_s  # the pool's pacer lets those that waited go one by one
        backoff = min(self.cap_s, self.base_s * 2 ** min(attempts - 1, 30)) * (0.5 + jitter / 2)
        return float(max(backoff, error.retry_after_s or 0.0))
