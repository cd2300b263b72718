"""Where an installation says that it is reached."""

import pytest

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_server, check_url
from harmony_fleet.embedded.reach import MOST_NAMES, Reach


def test_unless_asked_it_is_the_loopback_address_without_tls() -> None:
    reach = Reach()
    assert reach == Reach.at("127.0.0.1")
    assert reach.api(7700) == reach.api_here(7700) == "http://127.0.0.1:7700"
    assert reach.plane(4222) == reach.plane_here(4222) == "nats://127.0.0.1:4222"


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_every_loopback_address_is_without_tls(address: str) -> None:
    assert not Reach.at(address).tls


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("2001:DB8:0::7", "[2001:db8::7]"),
    ],
)
def test_every_other_address_is_under_tls_and_this_machine_calls_it_by_one_it_has(
    address: str, here: str
) -> None:
    reach = Reach.at(address, ["Fleet.Example"])
    assert reach.tls
    assert reach.api(7700) == "https://fleet.example:7700"
    assert reach.plane(4222) == "tls://fleet.example:4222"
    assert reach.api_here(1) == f"https://{here}:1"
    assert reach.plane_here(2) == f"tls://{here}:2"


def test_the_first_name_is_what_devices_are_told_and_all_of_them_are_hosts_once() -> None:
    reach = Reach.at("0.0.0.0", ["fleet.example", "10.0.0.1", "FLEET.example"])
    assert reach.names == ("fleet.example", "10.0.0.1")
    assert reach.name == "fleet.example"
    assert reach.hosts == {"fleet.example", "10.0.0.1", "127.0.0.1", "localhost"}


def test_without_a_name_it_is_called_by_its_address() -> None:
    reach = Reach.at("10.0.0.1")
    assert reach.plane(4222) == "tls://10.0.0.1:4222"
    assert reach.hosts == {"10.0.0.1", "localhost"}


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_every_address_at_once_is_none_that_a_device_could_call(address: str) -> None:
    with pytest.raises(InvalidValue, match="--name"):
        Reach.at(address)


@pytest.mark.parametrize("address", ["localhost", "", "10.0.0", "10.0.0.1:80", "fe80::1%eth0"])
def test_what_is_no_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(InvalidValue, match=repr(address)):
        Reach.at(address, ["fleet.example"])


@pytest.mark.parametrize("ipv4", ["0.0.0.0", "127.0.0.1", "10.0.0.1"])
def test_an_ipv4_address_that_is_written_as_one_of_ipv6_is_refused(ipv4: str) -> None:
    with pytest.raises(InvalidValue, match=f"give {ipv4}"):
        Reach.at(f"::ffff:{ipv4}", ["fleet.example"])
    with pytest.raises(InvalidValue, match="is no name"):
        Reach.at("10.0.0.1", [f"::ffff:{ipv4}"])


NO_NAMES = [
    "",
    "*.example",
    "fleet example",
    "-fleet.example",
    "fleet..example",
    "fleet.example.",
    "https://fleet.example",
    "fleet.example:7700",
    "10.0.0.256",
    "0.0.0.0",
    "fe80::1%eth0",
    "a" * 64,
    ".".join(["a" * 60] * 5),
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="is no name"):
        Reach.at("10.0.0.1", [name])


def test_a_certificate_is_for_a_bounded_number_of_names() -> None:
    with pytest.raises(InvalidValue, match=str(MOST_NAMES)):
        Reach.at("10.0.0.1", [f"n{number}.example" for number in range(MOST_NAMES + 1)])


@pytest.mark.parametrize("name", ["fleet.example", "10.0.0.1", "2001:db8::7", "xn--bcher-kva.de"])
def test_what_it_says_is_a_url_that_devices_take(name: str) -> None:
    reach = Reach.at("0.0.0.0", [name])
    assert check_url(reach.api(7700)) == reach.api(7700)
    assert check_server(reach.plane(4222)) == reach.plane(4222)
