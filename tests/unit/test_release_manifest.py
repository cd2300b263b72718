import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.release.manifest import (
    MAX_ARTIFACT_BYTES,
    Manifest,
    NotAnArtifact,
    describe,
    read_manifest,
)

RIGHT = Manifest("1.2.3", "0" * 64, "3.11")
VERSIONS = st.builds("{}.{}.{}".format, *[st.integers(0, 10**8)] * 3)
MANIFESTS = st.builds(
    Manifest,
    version=VERSIONS,
    inputs_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    python_built=st.builds("3.{}".format, st.integers(0, 999)),
    python=st.builds(">=3.{}".format, st.integers(0, 999)),
    schema=st.integers(1, 2**53),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def packed(*contents: bytes, name: str = "manifest.json") -> bytes:
    buffer = io.BytesIO(b"#!/usr/bin/python3 -IS\n")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", b"raise SystemExit('it was run')")
        for content in contents:
            archive.writestr(name, content)
    return buffer.getvalue()


def read(data: bytes) -> Manifest:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        return read_manifest(path)


def refusal(data: bytes) -> str:
    with pytest.raises(NotAnArtifact) as caught:
        read(data)
    return str(caught.value)


RIGHT_BYTES = packed(encode(RIGHT))


@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert decode(Manifest, encode(manifest)) == manifest
    assert read(packed(encode(manifest))) == manifest


def test_fields_that_a_newer_build_adds_are_ignored() -> None:
    newer = json.loads(encode(RIGHT)) | {"sbom": ["nats-py"], "schema": 7}
    assert read(packed(json.dumps(newer).encode())).schema == 7


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other-program"},
        {"version": "1.2"},
        {"version": "../../etc"},
        {"version": 123},
        {"inputs_sha256": "A" * 64},
        {"python_built": "2.7"},
        {"python": "any"},
        {"platform": "a b"},
        {"schema": 0},
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    wrong = json.loads(encode(RIGHT)) | change
    assert "not a Manifest" in refusal(packed(json.dumps(wrong).encode()))


def test_a_manifest_in_memory_is_checked_as_well() -> None:
    with pytest.raises(InvalidValue):
        Manifest("1.2.3", "0" * 64, "3.11", name="other")


def described(data: bytes) -> str | None:
    """Why it is refused as a release; None where it is taken."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            describe(path)
        except NotAnArtifact as error:
            return error.reason
    return None


def without_main() -> bytes:
    buffer = io.BytesIO(b"#!/usr/bin/python3 -IS\n")
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("manifest.json", encode(RIGHT))
    return buffer.getvalue()


def damaged_inside() -> bytes:
    """With a manifest that is whole."""
    data = bytearray(packed(encode(RIGHT)))
    data[data.index(b"__main__.py") + len("__main__.py") + 3] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (without_main(), "no __main__.py"),
        (RIGHT_BYTES + b"junk", "behind its end"),
        (RIGHT_BYTES[RIGHT_BYTES.index(b"PK") :], "names no interpreter"),
        (damaged_inside(), "damaged"),
        (packed(encode(replace(RIGHT, schema=99))), "schema 99"),
        (packed(encode(replace(RIGHT, platform="linux_mips"))), "platform linux_mips"),
    ],
)
def test_what_could_not_run_is_no_release(data: bytes, reason: str) -> None:
    assert reason in str(described(data))


def test_an_artifact_that_could_run_is_a_release() -> None:
    assert described(RIGHT_BYTES) is None


def test_a_refusal_names_the_file_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotAnArtifact) as caught:
        describe(tmp_path / "notes.txt")
    assert str(tmp_path / "notes.txt") in str(caught.value)
    assert "make agent VERSION=" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAnArtifact, match="No such file"):
        describe(tmp_path / "absent")


def test_a_folder_a_link_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(RIGHT_BYTES)
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("link", "symbolic link"), ("pipe", "regular"), (".", "regular")):
        with pytest.raises(NotAnArtifact, match=reason):
            describe(tmp_path / name)


def test_a_file_with_a_null_in_its_name_is_refused() -> None:
    with pytest.raises(NotAnArtifact):
        describe(Path("fleet\0agent"))


def test_a_refused_folder_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(NotAnArtifact):
            describe(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_above_the_cap_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(NotAnArtifact, match="larger than"):
        describe(tmp_path / "huge")


def test_a_file_at_the_cap_is_read() -> None:
    assert read(b"\0" * (MAX_ARTIFACT_BYTES - len(RIGHT_BYTES)) + RIGHT_BYTES) == RIGHT


def test_a_manifest_that_unpacks_to_gigabytes_is_refused() -> None:
    assert "larger than" in refusal(packed(encode(RIGHT) + b" " * 65_536))


def test_a_manifest_that_lies_about_its_unpacked_size_is_refused() -> None:
    whole = encode(RIGHT)
    honest = packed(whole + b" " * 10_000_000)
    lie = (len(whole)).to_bytes(4, "little")
    lying = honest.replace((len(whole) + 10_000_000).to_bytes(4, "little"), lie)
    assert lying != honest
    assert "damaged" in refusal(lying)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_manifests_or_none_are_refused() -> None:
    assert "2 entries" in refusal(packed(encode(RIGHT), encode(RIGHT)))
    assert "0 entries" in refusal(packed())
    assert "0 entries" in refusal(packed(encode(RIGHT), name="sub/manifest.json"))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_manifest_packed_by_another_method_is_refused(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("manifest.json", encode(RIGHT))
    assert "unknown way" in refusal(buffer.getvalue())


@given(st.binary(max_size=500))
@example(b"")
@example(b"PK\5\6" + b"\0" * 18)
@example(b"PK\5\6" + b"\xff" * 18)
def test_random_bytes_are_refused(data: bytes) -> None:
    refusal(data)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 60_000)
@example(b"\xff\xfe")
@example(b'{"version":' + b"9" * 5_000 + b"}")
def test_a_manifest_of_anything_is_refused(content: bytes) -> None:
    refusal(packed(content))


@given(st.integers(0, len(RIGHT_BYTES)))
def test_an_artifact_cut_short_is_refused(length: int) -> None:
    if length < len(RIGHT_BYTES):
        refusal(RIGHT_BYTES[:length])


@given(st.lists(st.tuples(st.integers(0, len(RIGHT_BYTES) - 1), st.integers(0, 255)), max_size=4))
def test_a_damaged_artifact_is_refused_or_read_right(damage: list[tuple[int, int]]) -> None:
    data = bytearray(RIGHT_BYTES)
    for offset, value in damage:
        data[offset] = value
    try:
        assert read(bytes(data)) == RIGHT
    except NotAnArtifact:
        return
