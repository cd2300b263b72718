"""Which files in the versions' folder nobody needs any more. Pure: names in, names out."""

import re
from collections.abc import Iterable

from harmony_fleet.contracts.identity import MAX_VERSION_LENGTH, VERSION, precedence

_LEFT_OVER = re.compile(r"(\.new|\.[0-9a-f]{16}\.part)\Z", re.ASCII)
"""Behind a hidden name: `durable.temporary`, and `asset.landing.partial_path`."""


def version_in(name: str, prefix: str) -> str | None:
    """The version that `<prefix><version>` names, or None for any other name."""
    version = name.removeprefix(prefix)
    if version == name or len(version) > MAX_VERSION_LENGTH:
        return None
    return version if VERSION.fullmatch(version) else None


def superfluous(names: Iterable[str], prefix: str, keep: frozenset[str], total: int) -> list[str]:
    """All but `keep`, and of the others the highest, as many as make up `total`.

    What was left of a version that was being fetched or copied goes where it does not stay.
    """
    names = list(names)
    versions = {version for name in names if (version := version_in(name, prefix))}
    others = sorted(versions - keep, key=precedence, reverse=True)
    staying = keep.union(others[: max(0, total - len(keep & versions))])
    return [name for name in names if _belongs_to_others(name, prefix, staying)]


def _belongs_to_others(name: str, prefix: str, staying: frozenset[str]) -> bool:
    left_over = _LEFT_OVER.sub("", name, count=1)
    hidden = version_in(left_over, f".{prefix}") if left_over != name else None
    version = hidden or version_in(name, prefix)
    return version is not None and version not in staying
