"""The installation's authority and the certificate that it signs, on a real disk."""

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from harmony_fleet.embedded.accounts import DataFolderUnusable
from harmony_fleet.embedded.certificates import (
    AUTHORITY_LASTS,
    SERVER_LASTS,
    Certificates,
)
from harmony_fleet.embedded.signing import SERVER_RENEWED, names_of

NOW = datetime(2026, 2, 3, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("fleet.example", "10.0.0.1", "2001:db8::7", "localhost")


def opened(folder: Path, now: datetime = NOW, names: tuple[str, ...] = NAMES) -> Certificates:
    return Certificates.open(folder / "tls", names, now)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "tls").iterdir()}


def test_they_are_made_once_and_used_from_then_on(tmp_path: Path) -> None:
    opened(tmp_path)
    made = contents(tmp_path)
    assert set(made) == {"ca.pem", "ca.key", "server.pem"}
    opened(tmp_path, NOW + SERVER_LASTS - SERVER_RENEWED, NAMES[::-1])
    assert contents(tmp_path) == made


def test_only_their_owner_can_read_a_key(tmp_path: Path) -> None:
    opened(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_the_server_is_vouched_for_under_each_of_its_names_by_the_strictest_rules(
    tmp_path: Path,
) -> None:
    found = opened(tmp_path, datetime.now(UTC))
    for name in NAMES:
        believe(found, found.ca, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        believe(found, found.ca, "other.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        believe(found, opened(tmp_path / "other", datetime.now(UTC)).ca, NAMES[0])


def believe(found: Certificates, ca: Path, name: str) -> None:
    """A handshake between the two halves, without a network."""
    client_in, server_in = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(found.server)
    here = ssl.create_default_context(cafile=str(ca))
    here.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does
    client = here.wrap_bio(client_in, server_in, server_hostname=name)
    server = there.wrap_bio(server_in, client_in, server_side=True)
    for half in (client, server, client):
        try:
            half.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.version() == "TLSv1.3"


def test_a_device_whose_clock_begins_in_1970_believes_it(tmp_path: Path) -> None:
    found = opened(tmp_path)
    for path in (found.ca, found.server):
        assert certificate(path).not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert found.ends() == (NOW + AUTHORITY_LASTS, NOW + SERVER_LASTS)


@pytest.mark.parametrize(
    ("later", "names"),
    [
        (SERVER_LASTS - SERVER_RENEWED + DAY, NAMES),
        (SERVER_LASTS + DAY, NAMES),
        (DAY, (*NAMES, "new.example")),
        (DAY, NAMES[1:]),
    ],
    ids=["old enough", "ended", "a name more", "a name less"],
)
def test_a_server_certificate_is_signed_anew_by_the_same_authority(
    tmp_path: Path, later: timedelta, names: tuple[str, ...]
) -> None:
    before = opened(tmp_path), contents(tmp_path)
    found = opened(tmp_path, NOW + later, names)
    assert found.ca.read_bytes() == before[1]["ca.pem"]
    assert found.server.read_bytes() != before[1]["server.pem"]
    assert names_of(certificate(found.server)) == set(names)
    assert found.ends()[1] == NOW + later + SERVER_LASTS


def test_no_certificate_outlives_its_authority_nor_is_renewed_in_vain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(tmp_path)
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        found = opened(tmp_path, NOW + AUTHORITY_LASTS - 30 * DAY)
    assert found.ends() == (NOW + AUTHORITY_LASTS, NOW + AUTHORITY_LASTS)
    assert f"{found.ca} ends on 2036-02-04" in caplog.text
    made = contents(tmp_path)
    opened(tmp_path, NOW + AUTHORITY_LASTS - 29 * DAY)
    assert contents(tmp_path) == made


def test_an_authority_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    left = contents(tmp_path)
    with pytest.raises(DataFolderUnusable, match=r"ca\.pem ended on 2036-02-04.*docs/reach\.md"):
        opened(tmp_path, NOW + AUTHORITY_LASTS)
    assert contents(tmp_path) == left


def test_an_authority_that_was_cut_off_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    opened(tmp_path)
    for name in ("ca.pem", "server.pem"):
        (tmp_path / "tls" / name).unlink()
    found = opened(tmp_path)
    assert names_of(certificate(found.server)) == set(NAMES)


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_server_certificate_is_signed_anew(tmp_path: Path, damage: bytes) -> None:
    opened(tmp_path).server.write_bytes(damage)
    assert names_of(certificate(opened(tmp_path).server)) == set(NAMES)


def test_a_server_certificate_of_another_authority_is_signed_anew(tmp_path: Path) -> None:
    other = opened(tmp_path / "other").server.read_bytes()
    opened(tmp_path).server.write_bytes(other)
    found = opened(tmp_path)
    certificate(found.server).verify_directly_issued_by(certificate(found.ca))


def test_an_authority_that_was_lost_is_never_replaced(tmp_path: Path) -> None:
    opened(tmp_path).ca.unlink()
    left = contents(tmp_path)
    with pytest.raises(DataFolderUnusable, match=r"ca\.pem is gone.*backup.*device"):
        opened(tmp_path)
    assert contents(tmp_path) == left


def test_its_key_may_be_kept_elsewhere_until_something_has_to_be_signed(tmp_path: Path) -> None:
    (opened(tmp_path).folder / "ca.key").unlink()
    opened(tmp_path)
    left = contents(tmp_path)
    with pytest.raises(DataFolderUnusable, match=r"ca\.key, which signs it, is gone"):
        opened(tmp_path, names=("new.example",))
    assert contents(tmp_path) == left


def of_another(folder: Path, name: str) -> bytes:
    return (opened(folder / "another").folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ca.pem", lambda _: b"nonsense"),
        ("ca.key", lambda _: b"nonsense"),
        ("ca.key", lambda folder: of_another(folder, "ca.key")),
        ("ca.pem", lambda folder: of_another(folder, "ca.pem")),
    ],
    ids=["no certificate", "no key", "another's key", "another's certificate"],
)
def test_a_damaged_authority_is_named_and_left_as_it_is(
    tmp_path: Path, name: str, content: Callable[[Path], bytes]
) -> None:
    (opened(tmp_path).folder / name).write_bytes(content(tmp_path))
    left = contents(tmp_path)
    with pytest.raises(DataFolderUnusable, match=r"damaged.*backup"):
        opened(tmp_path, names=("new.example",))
    assert contents(tmp_path) == left


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(DataFolderUnusable, match=str(tmp_path / "tls")):
        opened(tmp_path)


def test_what_ends_when_cannot_be_said_of_what_is_damaged_or_gone(tmp_path: Path) -> None:
    found = opened(tmp_path)
    found.server.write_bytes(b"nonsense")
    with pytest.raises(DataFolderUnusable, match="damaged"):
        found.ends()
    found.server.unlink()
    with pytest.raises(DataFolderUnusable, match=r"server\.pem"):
        found.ends()
