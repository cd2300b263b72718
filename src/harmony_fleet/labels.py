"""Labels of devices, and the selectors that choose devices by them. Pure.

The rules are Kubernetes' own, so that what is a label here is one there: a key is a name of at
most 63 characters, with or without a DNS prefix and a slash before it; a value may be empty.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/

A selector is a list of requirements, all of which must hold: `key=value` (or `==`), `key!=value`,
`key`, `!key`. As there, `key!=value` also holds where there is no such key. Sets (`in`, `notin`)
are not taken.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue

MAX_LABELS: Final = 64
"""Of one device."""
MAX_REQUIREMENTS: Final = 64
"""Of one selector."""
MAX_PART: Final = 63
MAX_PREFIX: Final = 253

_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_FORM: Final = "at most 63 of A-Z a-z 0-9 - _ ., with a letter or a digit at both ends"
_REQUIREMENT: Final = re.compile(
    r"(?P<no>!?)\s*(?P<key>[^=!\s]+)\s*((?P<how>==|!=|=)(?P<value>.*))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Label:
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What one command does to a device's labels."""

    put: tuple[Label, ...] = ()
    removed: tuple[str, ...] = ()

    def applied(self, labels: Sequence[Label]) -> tuple[Label, ...]:
        """By key."""
        found = {label.key: label for label in (*labels, *self.put)}
        return tuple(sorted(one for one in found.values() if one.key not in self.removed))

    def __str__(self) -> str:
        return ", ".join((*map(str, self.put), *(f"{key} removed" for key in self.removed)))


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    value: str | None
    """None: any."""
    wanted: bool = True
    """False: it must not be so."""

    def holds(self, labels: Mapping[str, str]) -> bool:
        there = self.key in labels and self.value in {None, labels[self.key]}
        return there is self.wanted

    def __str__(self) -> str:
        if self.value is None:
            return self.key if self.wanted else f"!{self.key}"
        return f"{self.key}{'=' if self.wanted else '!='}{self.value}"


@dataclass(frozen=True, slots=True)
class Selector:
    requirements: tuple[Requirement, ...]

    def selects(self, labels: Sequence[Label]) -> bool:
        found = {label.key: label.value for label in labels}
        return all(one.holds(found) for one in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def selector(text: str) -> Selector:
    """Raises InvalidValue. One that is empty selects nothing that anybody meant: it is refused."""
    words = text.split(",")
    if len(words) > MAX_REQUIREMENTS:
        raise InvalidValue(f"a selector of {len(words)} parts: {MAX_REQUIREMENTS} is the most")
    return Selector(tuple(_requirement(word.strip()) for word in words))


def changes(words: Sequence[str]) -> Changes:
    """`key=value` puts a label, `key-` removes one. Raises InvalidValue."""
    put = [label(word) for word in words if "=" in word]
    removed = [check_key(_removed(word)) for word in words if "=" not in word]
    return check_changes(Changes(tuple(put), tuple(removed)))


def check_changes(asked: Changes) -> Changes:
    """Raises InvalidValue: nothing is asked, or two things of one key."""
    keys = [*(one.key for one in asked.put), *asked.removed]
    if not keys:
        raise InvalidValue("no label is named: say key=value to put one, key- to remove one")
    if len(set(keys)) < len(keys):
        twice = next(key for key, times in Counter(keys).items() if times > 1)
        raise InvalidValue(f"label {twice!r} is named twice: what is wanted of it is not clear")
    return asked


def label(text: str) -> Label:
    """`key=value`. Raises InvalidValue."""
    key, _, value = text.partition("=")
    return Label(check_key(key), check_value(value, key))


def check_key(text: str) -> str:
    """Raises InvalidValue."""
    prefix, slash, name = text.rpartition("/")
    if len(name) > MAX_PART or _NAME.fullmatch(name) is None:
        raise InvalidValue(f"{text[:80]!r} is not a label's key: its name must be {_FORM}")
    if slash and (len(prefix) > MAX_PREFIX or _PREFIX.fullmatch(prefix) is None):
        raise InvalidValue(
            f"{text[:80]!r} is not a label's key: before the slash must be a DNS name in lower "
            f"case of at most {MAX_PREFIX} characters"
        )
    return text


def check_value(text: str, key: str) -> str:
    """Raises InvalidValue."""
    if text and (len(text) > MAX_PART or _NAME.fullmatch(text) is None):
        raise InvalidValue(
            f"{text[:80]!r} is not a value for the label {key[:80]!r}: it must be empty, or {_FORM}"
        )
    return text


def _removed(word: str) -> str:
    if not word.endswith("-"):
        raise InvalidValue(
            f"{word[:80]!r} changes no label: say key=value to put one, key- to remove one"
        )
    return word[:-1]


def _requirement(text: str) -> Requirement:
    found = _REQUIREMENT.fullmatch(text)
    if found is None or (found["no"] and found["how"]):
        raise InvalidValue(
            f"{text[:80]!r} is no part of a selector: say key=value, key!=value, key or !key, with "
            "commas between them"
        )
    key = check_key(found["key"])
    if found["how"] is None:
        return Requirement(key, None, wanted=not found["no"])
    return Requirement(key, check_value(found["value"].strip(), key), wanted=found["how"] != "!=")
