"""Instants as the cluster's MicroTime has them: with six digits of a second, or they are refused.

A fraction of nothing is left out when a datetime is written as JSON: such an instant is put off by
a microsecond.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

_LEAST: Final = timedelta(microseconds=1)


def micro_time(text: str) -> datetime:
    """`text` is RFC 3339."""
    instant = datetime.fromisoformat(text).astimezone(UTC)
    return instant if instant.microsecond else instant + _LEAST


def micro_text(text: str) -> str:
    """The same, as it is written into a patch."""
    return micro_time(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
