"""Names that become keys, subjects and paths, each checked where it enters.

A version becomes part of a file name and of a Kubernetes label, a device id part of a NATS
subject: what these patterns let through can leave neither its folder nor its subject.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from harmony_fleet.contracts.errors import InvalidValue

DEVICE_ID: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
"""As in the signer of device credentials: a name such as `*` or `>` would match every subject."""

VERSION: Final = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(?<!-)",
    re.ASCII,
)
"""SemVer 2.0.0, clause 9, without what NATS keys or Kubernetes labels refuse: build metadata with
its `+`, and a hyphen at the end."""

UPGRADE_ID: Final = re.compile(r"[0-9a-f]{32}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
SERVER: Final = re.compile(r"(nats|tls)://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(\d{1,5}))?")
TOKEN: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")

_FORMS: Final = {
    "device id": (DEVICE_ID, "1 to 63 of a-z 0-9 _ -, not - or _ at an end"),
    "version": (VERSION, "SemVer without build metadata, such as 1.4.0 or 2.0.0-rc.1"),
    "upgrade id": (UPGRADE_ID, "32 hexadecimal digits"),
    "SHA-256": (SHA256, "64 lower-case hexadecimal digits"),
    "identifier": (TOKEN, "1 to 64 of 0-9 A-Z a-z _ -"),
}
"""What each is, for its refusal."""

MAX_VERSION_LENGTH: Final = 63
"""The longest value of a Kubernetes label."""
MAX_URL_LENGTH: Final = 2048
MAX_COUNT: Final = 2**53
"""Integers above this are not the same number in every JSON reader (RFC 8259, section 6)."""

_KEPT: Final = 256

Precedence = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def check_device_id(text: str) -> str:
    """Raises InvalidValue unless `text` is a device id."""
    return _match("device id", text)


def check_version(text: str) -> str:
    """Raises InvalidValue unless `text` is a version."""
    if len(text) > MAX_VERSION_LENGTH:
        raise InvalidValue(f"version of {len(text)} characters: {MAX_VERSION_LENGTH} is the most")
    return _match("version", text)


def precedence(version: str) -> Precedence:
    """A key that sorts as SemVer 2.0.0, clause 11, says."""
    core, _, prerelease = version.partition("-")
    identifiers = prerelease.split(".") if prerelease else []
    return (
        tuple(int(number) for number in core.split(".")),
        0 if identifiers else 1,
        tuple(_rank(identifier) for identifier in identifiers),
    )


def _rank(identifier: str) -> tuple[int, int, str]:
    """Clause 11.4: numbers by size, below words, which go by their ASCII codes."""
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def check_upgrade_id(text: str) -> str:
    """Raises InvalidValue unless `text` is an upgrade id."""
    return _match("upgrade id", text)


def check_sha256(text: str) -> str:
    """Raises InvalidValue unless `text` is a SHA-256 in lower-case hexadecimal."""
    return _match("SHA-256", text)


def check_token(text: str) -> str:
    """Raises InvalidValue unless `text` is an opaque name, such as an instance or a boot id."""
    return _match("identifier", text)


def check_url(text: str) -> str:
    """Raises InvalidValue unless `text` is an http or https URL with a host and no credentials."""
    return _url(text)


@lru_cache(_KEPT)
def _url(text: str) -> str:
    shown = repr(text.rpartition("@")[2][:200])  # never a password
    if len(text) > MAX_URL_LENGTH or not (text.isascii() and text.isprintable()) or " " in text:
        raise InvalidValue(f"URL {shown} is too long or not of printable ASCII (RFC 3986)")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidValue(f"URL {shown}: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidValue(f"URL {shown} is not http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidValue(f"URL of host {host!r} holds credentials; leave them out")
    return text


def check_server(text: str) -> str:
    """Raises InvalidValue unless `text` is the address of a NATS server, without credentials."""
    shown = repr(text.rpartition("@")[2][:80])  # never a password
    found = SERVER.fullmatch(text)
    if found is None:
        raise InvalidValue(f"{shown} is not nats://host:port or tls://host:port")
    if found[3] is not None and not 0 < int(found[3]) < 2**16:
        raise InvalidValue(f"{shown}: {found[3]} is no port")
    return text


def check_count(number: int, name: str, minimum: int = 0, maximum: int = MAX_COUNT) -> int:
    """Raises InvalidValue unless `minimum <= number <= maximum`, which is 2**53 by default."""
    if not minimum <= number <= maximum:
        most = "2**53" if maximum == MAX_COUNT else maximum
        raise InvalidValue(f"{name} {number} is not between {minimum} and {most}")
    return number


def check_text(text: str, name: str, limit: int) -> str:
    """Raises InvalidValue if `text` has more than `limit` characters."""
    if len(text) > limit:
        raise InvalidValue(f"{name} has {len(text)} characters; {limit} is the most")
    return text


@lru_cache(_KEPT)
def _match(name: str, text: str) -> str:
    """The same few names come again and again; a refusal is not kept."""
    pattern, form = _FORMS[name]
    if pattern.fullmatch(text) is None:
        article = "an" if name[0] in "aeiou" else "a"
        raise InvalidValue(f"{text[:80]!r} is not {article} {name} ({form})")
    return text
