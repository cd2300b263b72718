"""What the operator's HTTP server shows over TLS, from files that somebody else renews."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from starlette.responses import PlainTextResponse
from tests.processes.nats_fixture import until

from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.embedded.signing import names_of
from harmony_fleet.operator.certificate import Certificate, CertificateUnusable
from harmony_fleet.operator.http_server import listen, serving

QUICK_S: Final = 0.02


def as_secret(folder: Path, *names: str) -> Certificate:
    """As a mounted Secret of a certificate for these names; written over the one before."""
    pem = Certificates.open(folder, names).server.read_text()
    key, certificate = pem.split("-----BEGIN CERTIFICATE-----", 1)
    made = Certificate(folder / "tls.crt", folder / "tls.key", QUICK_S)
    assert made.key is not None
    made.chain.write_text(f"-----BEGIN CERTIFICATE-----{certificate}")
    made.key.write_text(key)
    return made


@asynccontextmanager
async def served(certificate: Certificate) -> AsyncIterator[int]:
    with listen("127.0.0.1", 0) as listener:
        async with serving(PlainTextResponse("ok"), listener, certificate):
            yield int(listener.getsockname()[1])


async def shown(port: int, ca: Path) -> frozenset[str]:
    """Whom the certificate is for that a new connection is shown; it is vouched for by `ca`."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return names_of(x509.load_der_x509_certificate(found))


def test_a_certificate_and_its_key_may_be_two_files(tmp_path: Path) -> None:
    async def run() -> None:
        certificate = as_secret(tmp_path, "fleet.example")
        async with served(certificate) as port:
            assert await shown(port, tmp_path / "ca.pem") == {"fleet.example"}

    asyncio.run(run())


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        certificate = as_secret(tmp_path, "old.example")
        async with served(certificate) as port:
            assert await shown(port, tmp_path / "ca.pem") == {"old.example"}
            as_secret(tmp_path, "new.example")
            async with asyncio.timeout(10):
                while await shown(port, tmp_path / "ca.pem") != {"new.example"}:
                    pass

    asyncio.run(run())


def test_one_that_cannot_be_used_leaves_the_one_before_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        certificate = as_secret(tmp_path, "fleet.example")
        other = as_secret(tmp_path / "other", "other.example")
        async with served(certificate) as port:
            certificate.chain.write_bytes(other.chain.read_bytes())  # and its key is another's
            await until(lambda: "stays in use" in caplog.text)
            assert await shown(port, tmp_path / "ca.pem") == {"fleet.example"}

    (tmp_path / "other").mkdir()
    with caplog.at_level(logging.ERROR):
        asyncio.run(run())


def test_one_that_is_not_there_is_named_before_anything_is_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")):
            raise AssertionError("it was served")

    with pytest.raises(CertificateUnusable, match=r"tls\.crt and .*tls\.key"):
        asyncio.run(run())
