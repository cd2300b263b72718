"""The four sources of a device's files, each in the form that the role takes."""

from pathlib import Path

import pytest

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.install.files import Delivery, FileSource, Source

DIGEST = "b" * 64
URL = "https://files.example/agent"


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (FileSource.content("text\n"), {"mode": "0600", "content": "text\n"}),
        (FileSource.local(Path("/here")), {"mode": "0600", "local": "/here"}),
        (
            FileSource.local(Path("/here"), DIGEST),
            {"mode": "0600", "local": "/here", "sha256": DIGEST},
        ),
        (
            FileSource.download(URL, DIGEST, 9),
            {"mode": "0600", "download": URL, "sha256": DIGEST, "size_bytes": 9},
        ),
        (FileSource.symlink("../there"), {"symlink": "../there"}),
    ],
)
def test_each_source_has_its_form(source: Source, form: dict[str, object]) -> None:
    assert Delivery("/etc/x", source, 0o600).form() == {"path": "/etc/x", **form}


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileSource.local(Path("relative")),
        lambda: FileSource.local(Path("/x"), "no digest"),
        lambda: FileSource.download("ftp://files.example", DIGEST, 1),
        lambda: FileSource.download(URL, "no digest", 1),
        lambda: FileSource.download(URL, DIGEST, -1),
        lambda: FileSource.symlink(""),
        lambda: FileSource.symlink("a\0b"),
        lambda: Delivery("relative", FileSource.content("")),
        lambda: Delivery("/a/../b", FileSource.content("")),
        lambda: Delivery("/a", FileSource.content(""), 0o100644),
    ],
)
def test_what_is_no_source_cannot_be_made(make: object) -> None:
    with pytest.raises(InvalidValue):
        make()  # type: ignore[operator]


def test_a_content_is_not_shown_where_its_value_is() -> None:
    assert "secret" not in repr(FileSource.content("secret"))
