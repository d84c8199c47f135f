"""Tags of Dagster runs, as options write them."""

from __future__ import annotations

from collections.abc import Sequence

from daydreaming_dagster.domain.errors import UsageError


def parse_tags(texts: Sequence[str]) -> dict[str, str]:
    """Tags from KEY=VALUE options.

    Raises:
        UsageError: one has no key or no equals sign.
    """
    tags = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise UsageError(
                f"--tag {text!r} is not KEY=VALUE.", fix="Write for example: --tag experiment_id=my_experiment"
            )
        tags[key.strip()] = value.strip()
    return tags
