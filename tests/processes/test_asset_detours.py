"""Redirects, proxies and TLS."""

import hashlib
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.processes.asset_server import (
    CONTENT,
    AssetServer,
    break_off,
    forget_proxies,
    redirect,
    say,
    serve,
    serving,
)

from harmony_fleet.asset import DownloadableAsset, Limits
from harmony_fleet.asset.errors import AttemptsExhausted, RedirectRefused, RequestRefused

SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Limits(attempts=2, backoff_s=0.001, backoff_max_s=0.002)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "agent-v1"


def asset(server: AssetServer, scheme: str = "http") -> DownloadableAsset:
    return DownloadableAsset(server.url(scheme), SIZE, SHA256)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_to_another_server(destination: Path, status: int) -> None:
    with serving(serve()) as far, serving(redirect(far.url(), status)) as near:
        asset(near).fetch(destination)
    assert destination.read_bytes() == CONTENT


def test_resuming_goes_through_the_redirect_again_with_its_range(destination: Path) -> None:
    """What it led to may be a link that has expired."""
    with serving(break_off(1000), serve()) as far, serving(redirect(far.url())) as near:
        asset(near).fetch(destination, limits=HASTY)
    assert near.ranges == far.ranges == [None, "bytes=1000-"]


def test_as_many_redirects_as_the_limit_are_followed(destination: Path) -> None:
    turns = [redirect("/next")] * HASTY.redirects
    with serving(*turns, serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert len(server.requests) == HASTY.redirects + 1


def test_redirects_in_a_circle_are_refused(destination: Path) -> None:
    with serving(redirect("/asset")) as server, pytest.raises(RedirectRefused):
        asset(server).fetch(destination, limits=HASTY)
    assert len(server.requests) == HASTY.redirects + 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/"]
)
def test_a_redirect_to_where_we_do_not_go_is_refused(destination: Path, location: str) -> None:
    with serving(redirect(location)) as server, pytest.raises(RedirectRefused):
        asset(server).fetch(destination, limits=HASTY)
    assert not list(destination.parent.iterdir())


def test_a_redirect_to_nowhere_is_a_refusal(destination: Path) -> None:
    with serving(say(302)) as server, pytest.raises(RequestRefused):
        asset(server).fetch(destination, limits=HASTY)


def test_the_proxy_of_the_environment_is_asked(
    destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(serve()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url().removesuffix("/asset"))
        far = DownloadableAsset("http://server.invalid/asset", SIZE, SHA256)
        far.fetch(destination, limits=HASTY)
    assert [request.path for request in proxy.requests] == ["http://server.invalid/asset"]
    assert destination.read_bytes() == CONTENT


def test_the_proxy_of_the_environment_is_not_asked_where_no_proxy_says_so(
    destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(serve()) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, and a certificate for the loopback address that vouches for itself."""
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = subprocess.run(
        ["openssl", "req", "-x509", *key, *name, "-keyout", pem, "-out", "-"],
        check=True,
        capture_output=True,
    )
    pem.write_bytes(pem.read_bytes() + made.stdout)
    return pem


def protect(server: AssetServer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )


def test_a_trusted_server_is_read_over_tls(
    destination: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(break_off(1000), serve()) as server:
        protect(server, certificate)
        asset(server, "https").fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_a_server_that_nobody_vouches_for_is_not_asked(
    destination: Path, certificate: Path
) -> None:
    with serving(serve()) as server:
        protect(server, certificate)
        with pytest.raises(AttemptsExhausted, match="CERTIFICATE"):
            asset(server, "https").fetch(destination, limits=HASTY)
    assert server.requests == []


def test_a_redirect_out_of_tls_is_refused(
    destination: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(serve()) as plain, serving(redirect(plain.url())) as server:
        protect(server, certificate)
        with pytest.raises(RedirectRefused):
            asset(server, "https").fetch(destination, limits=HASTY)
    assert plain.requests == []


def test_an_authority_of_ones_own_is_trusted_where_it_is_handed_over(
    destination: Path, certificate: Path
) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    with serving(serve()) as secured, serving(redirect(secured.url("https"))) as plain:
        protect(secured, certificate)
        for url in (secured.url("https"), plain.url()):
            DownloadableAsset(url, len(CONTENT), SHA256, trust=trust).fetch(destination)
            assert destination.read_bytes() == CONTENT
            destination.unlink()
