"""What holds for every test: none fails because the machine is busy, or by the luck of the draw."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", _UNTIMED, derandomize=True)
settings.register_profile("searching", _UNTIMED, max_examples=2000, print_blob=True)
"""For finding what the same examples every time do not: `pytest --hypothesis-profile=searching`."""
settings.load_profile("steady")
