"""Subjects as NATS matches and transforms them. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_KEPT: Final = 4096


def is_wild(subject: str) -> bool:
    return "*" in subject or ">" in subject


@lru_cache(_KEPT)
def matches(pattern: str, subject: str) -> bool:
    if pattern == subject:
        return True
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(found) <= len(wanted):
            return False
    elif len(wanted) != len(found):
        return False
    return all(one in {"*", there} for one, there in zip(wanted, found, strict=False))


@lru_cache(_KEPT)
def transformed(source: str, target: str, subject: str) -> str | None:
    """What a republish rule makes of a subject; None where it is not about that one."""
    if not matches(source, subject):
        return None
    stars = _stars(source, subject)
    for number, token in enumerate(stars, 1):
        target = target.replace(f"{{{{wildcard({number})}}}}", token)
    return target


def _stars(pattern: str, subject: str) -> Iterator[str]:
    pairs = zip(pattern.split("."), subject.split("."), strict=False)
    return (token for wanted, token in pairs if wanted == "*")
