"""Builds `fleet-agent-<version>`: a shebang line and a zip, the same bytes for the same inputs.

Into it go our four device folders, nats-py as it is installed beside us, and nothing else: what
is neither listed here nor a Python module is left out. Nothing is taken over from the disk but
names and bytes; no time, mode, owner or machine path is in the result.

nats-py is redistributed unchanged, but for the parts in NATS_LEFT_OUT and a stand-in for one of
them (`jetstream`), under the Apache License 2.0; its licence travels as `nats/LICENSE`.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import io
import marshal
import os
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Final

import harmony_fleet
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import check_version
from harmony_fleet.release import jetstream
from harmony_fleet.release.manifest import (
    MANIFEST_ENTRY,
    MAX_ARTIFACT_BYTES,
    PROGRAM,
    Manifest,
    ReleaseFile,
    describe,
)

SHEBANG: Final = b"#!/usr/bin/python3 -IS\n"
DEVICE_FOLDERS: Final = ("agent", "asset", "contracts", "messaging")
NATS_LEFT_OUT: Final = ("nats/micro/", jetstream.CLIENT)
"""The framework for services that answer requests, which nothing else in nats-py imports, and the
JetStream client, in whose place goes a stand-in."""

Entries = dict[str, bytes]
"""What the archive holds, by name."""


class SourceUnusable(FleetError):
    """The code to build from is incomplete or does not compile. Nothing was written."""

    kind = "source_unusable"


class NatsPyMissing(FleetError):
    """nats-py is not installed where the build runs. Nothing was written."""

    kind = "nats_py_missing"

    def __init__(self) -> None:
        super().__init__(
            "nats-py, which every agent carries, is not installed for "
            f"{sys.executable}: `{sys.executable} -m pip install 'nats-py>=2.16,<3'`"
        )


class OutputUnwritable(FleetError):
    """The artifact could not be put in place; what was there before still is."""

    kind = "output_unwritable"
    retryable = True


def artifact_name(version: str) -> str:
    return f"{PROGRAM}-{version}"


def build(version: str, output: Path, source_root: Path | None = None) -> ReleaseFile:
    """Put `fleet-agent-<version>` into the folder `output`, which is made where it is missing.

    `source_root` holds the four device folders; without one, those of the installed package.
    The file appears complete and executable, in place of one of the same name, or not at all.

    Raises:
        InvalidValue: the version.
        SourceUnusable, NatsPyMissing, OutputUnwritable.
    """
    check_version(version)
    sources = _our_sources(version, source_root or Path(harmony_fleet.__file__).parent)
    sources |= _nats_sources()
    manifest = Manifest(version, _digest(sources), f"3.{sys.version_info.minor}")
    entries = sources | _compiled(sources) | {MANIFEST_ENTRY: encode(manifest)}
    path = output / artifact_name(version)
    packed = _packed(entries)
    if len(packed) > MAX_ARTIFACT_BYTES:
        raise SourceUnusable(f"{len(packed)} bytes; an artifact has {MAX_ARTIFACT_BYTES} at most")
    _put_in_place(path, packed)
    return describe(path)


def _our_sources(version: str, root: Path) -> Entries:
    init = f'"""What of harmony-fleet runs on a device."""\n\n__version__ = "{version}"\n'
    modules = _modules(root)
    folders = (f"{folder}/__init__.py" for folder in DEVICE_FOLDERS)
    for needed in (*folders, "agent/bootstrap.py", "agent/main.py"):
        if needed not in modules:
            raise SourceUnusable(f"there is no {needed} in {root}")
    return {
        "__main__.py": modules["agent/bootstrap.py"],
        "harmony_fleet/__init__.py": init.encode(),
        **{f"harmony_fleet/{name}": data for name, data in modules.items()},
    }


def _modules(root: Path) -> Entries:
    """What Python could import from the device folders: an editor's leavings have other names."""
    found = {}
    try:
        for folder in DEVICE_FOLDERS:
            for path in (root / folder).rglob("*.py"):
                name = path.relative_to(root)
                if all(part.isidentifier() for part in name.with_suffix("").parts):
                    found[name.as_posix()] = path.read_bytes()
    except OSError as error:
        raise SourceUnusable(f"{error.filename} cannot be read: {error.strerror}") from error
    return found


def _nats_sources() -> Entries:
    try:
        files = importlib.metadata.distribution("nats-py").files or []
    except importlib.metadata.PackageNotFoundError as error:
        raise NatsPyMissing from error
    sources = {}
    for file in files:
        name = file.as_posix()
        if name.startswith("nats/") and file.suffix == ".py":
            if not name.startswith(NATS_LEFT_OUT):
                sources[name] = file.read_binary()
        elif file.name == "LICENSE":
            sources["nats/LICENSE"] = file.read_binary()
    if not {"nats/__init__.py", "nats/LICENSE"} <= sources.keys():
        raise NatsPyMissing
    return sources | jetstream.stand_in()


def _digest(sources: Entries) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(sources.items()):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _compiled(sources: Entries) -> Entries:
    return {f"{name}c": _pyc(name, data) for name, data in sources.items() if name.endswith(".py")}


def _pyc(name: str, source: bytes) -> bytes:
    """An unchecked hash-based pyc (PEP 552), which no modification time can make stale."""
    try:
        tree = _without_docstrings(ast.parse(source, name))
        code = compile(tree, name, "exec", dont_inherit=True, optimize=1)
    except (SyntaxError, ValueError) as error:
        raise SourceUnusable(f"{name} does not compile: {error}") from error
    flags = 0b01
    header = importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little")
    return header + importlib.util.source_hash(source) + _marshalled(code)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """As `-OO` does it, but for classes, which keep a shortest one.

    A dataclass without a docstring is given its signature for one as it is made: 0.1 ms each, at
    every start of every process.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        if isinstance(node, ast.ClassDef):
            node.body.insert(0, ast.Expr(ast.Constant(".")))
        elif not node.body and not isinstance(node, ast.Module):
            node.body.append(ast.Pass())
    return ast.fix_missing_locations(tree)


def _marshalled(code: CodeType) -> bytes:
    """The same bytes in every process, which marshal alone does not promise.

    It writes differently an object that something else refers to: after a round trip only the
    code itself does. And it marks interned strings: those of one character are shared by the whole
    process, interned or not by what else it has run, so here they all are.
    """
    for number in range(256):
        sys.intern(chr(number))
    return marshal.dumps(marshal.loads(marshal.dumps(code)))  # noqa: S302 - our own bytes


def _packed(entries: Entries) -> bytes:
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(entries.items()):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, wherever it is built
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def _put_in_place(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".building-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(descriptor, 0o755)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).rename(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputUnwritable(f"{path} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
