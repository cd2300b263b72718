import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.messaging.endpoint import Endpoint, Timing

NOBODY = Credentials("", bytes(32))


@given(st.integers(0, 10_000))
def test_a_retry_is_never_immediate_and_never_later_than_the_longest_and_its_jitter(
    attempt: int,
) -> None:
    timing = Timing()
    assert 0.05 <= timing.retry_delay_s(attempt) <= 45.0


def test_a_server_that_is_back_within_a_second_is_met_within_another() -> None:
    worst = [1.5 * min(30.0, 0.1 * 2**attempt) for attempt in range(4)]
    assert sum(worst) - 1.0 < 1.5
    assert all(Timing().retry_delay_s(attempt) <= worst[attempt] for attempt in range(4))


def test_devices_that_lost_the_plane_together_do_not_come_back_together() -> None:
    delays = [Timing().retry_delay_s(20) for _ in range(200)]
    assert max(delays) - min(delays) > 15


@pytest.mark.parametrize(
    "servers",
    [
        (),
        ("http://plane:4222",),
        ("nats://user:secret@plane:4222",),
        ("nats://plane:4222", "plane"),
        ("nats://plane:4222/path",),
        ("nats://plane:4222\r\nPUB x 0",),
    ],
)
def test_an_address_that_could_only_be_retried_for_ever_is_refused(
    servers: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidValue):
        Endpoint(servers, NOBODY, "pi-1", "_INBOX_pi-1")


@pytest.mark.parametrize("prefix", ["", "_INBOX.>", "*", "a..b", "a b", ".a"])
def test_an_inbox_that_is_no_subject_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidValue):
        Endpoint(("nats://plane:4222",), NOBODY, "pi-1", prefix)


@pytest.mark.parametrize(
    "server", ["nats://10.0.0.1:4222", "tls://plane.example", "nats://[::1]:1"]
)
def test_usual_addresses_are_taken(server: str) -> None:
    assert Endpoint((server,), NOBODY, "pi-1", "_INBOX_pi-1").servers == (server,)


@pytest.mark.parametrize(
    ("servers", "asks"),
    [
        (("nats://plane:4222",), False),
        (("tls://plane:4222",), True),
        (("nats://plane:4222", "tls://plane:4222"), True),
    ],
)
def test_tls_is_asked_for_where_a_server_is_named_so(servers: tuple[str, ...], asks: bool) -> None:
    assert Endpoint(servers, NOBODY, "pi-1", "_INBOX_pi-1").asks_for_tls is asks
