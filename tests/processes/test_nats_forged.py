"""JWTs that nobody signed, or that say more than was signed: none of them connects."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats import errors as nats_errors
from nats.aio.client import Client
from tests.processes.nats_fixture import MessagePlane, connected, running_nats

from harmony_fleet.contracts.subjects import STATUS_BUCKET, key
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.operator.credentials import KeyPair, encode_jwt

Forge = Callable[[Accounts, Credentials], Credentials]
"""From the server's accounts and a genuine device's credentials."""

EVERYTHING = {"pub": {"allow": [">"]}, "sub": {"allow": [">"]}, "subs": -1, "data": -1}


def signed_by(signer: KeyPair, account: str, user: Credentials, **more: Any) -> Credentials:
    nats = {"type": "user", "issuer_account": account, **more}
    return replace(user, jwt=encode_jwt(signer, user.public_key(), "mallory", nats))


def changed(
    user: Credentials, part: int, change: Callable[[dict[str, Any]], object]
) -> Credentials:
    """The JWT with its header (0) or claims (1) changed under the old signature."""
    parts = user.jwt.split(".")
    content = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    change(content)
    parts[part] = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return replace(user, jwt=".".join(parts))


def by_an_unknown_account(_: Accounts, user: Credentials) -> Credentials:
    stranger = KeyPair.new("A")
    return signed_by(stranger, stranger.public, user)


def by_an_unknown_key_for_the_devices_account(accounts: Accounts, user: Credentials) -> Credentials:
    return signed_by(KeyPair.new("A"), accounts.keys["devices"].public, user)


def by_the_device_itself(accounts: Accounts, user: Credentials) -> Credentials:
    return signed_by(KeyPair("U", user.seed), accounts.keys["devices"].public, user)


def with_permissions_of_its_own(accounts: Accounts, user: Credentials) -> Credentials:
    devices, signing = accounts.keys["devices"], accounts.keys["device_signing"]
    return signed_by(signing, devices.public, user, **EVERYTHING)


def for_the_operators_account(accounts: Accounts, user: Credentials) -> Credentials:
    return signed_by(accounts.keys["device_signing"], accounts.keys["ops"].public, user)


def with_another_name(_: Accounts, user: Credentials) -> Credentials:
    return changed(user, 1, lambda claims: claims.update(name="victim"))


def with_another_key(_: Accounts, user: Credentials) -> Credentials:
    stranger = KeyPair.new("U")
    forged = changed(user, 1, lambda claims: claims.update(sub=stranger.public))
    return replace(forged, seed=stranger.seed)


def without_a_signature(_: Accounts, user: Credentials) -> Credentials:
    forged = changed(user, 0, lambda header: header.update(alg="none"))
    return replace(forged, jwt=forged.jwt.rpartition(".")[0] + ".")


def of_another_whose_seed_is_missing(_: Accounts, user: Credentials) -> Credentials:
    return replace(user, seed=bytes(32))


def that_has_expired(accounts: Accounts, user: Credentials) -> Credentials:
    past = int(datetime.now(UTC).timestamp()) - 1
    return replace(user, jwt=accounts.mint_device("mallory", user.public_key(), past))


def of_another_fleet(accounts: Accounts, user: Credentials) -> Credentials:
    other = Accounts.open(accounts.folder.parent / "another fleet" / "accounts")
    return replace(user, jwt=other.mint_device("mallory", user.public_key()))


FORGERIES: tuple[Forge, ...] = (
    by_an_unknown_account,
    by_an_unknown_key_for_the_devices_account,
    by_the_device_itself,
    with_permissions_of_its_own,
    for_the_operators_account,
    with_another_name,
    with_another_key,
    without_a_signature,
    of_another_whose_seed_is_missing,
    that_has_expired,
    of_another_fleet,
)


async def connects(nats: MessagePlane, credentials: Credentials) -> bool:
    """Whether the server lets it in, judged by a message that only a user can send."""
    client = Client()

    async def ignore(_: Exception) -> None:
        pass

    try:
        await client.connect(
            nats.server.url,
            name="mallory",
            allow_reconnect=False,
            error_cb=ignore,
            user_jwt_cb=credentials.jwt.encode,
            signature_cb=lambda nonce: base64.b64encode(credentials.sign(nonce.encode())),
        )
        await client.publish(key(STATUS_BUCKET, "mallory"), b"let in")
        await client.flush(1)
    except nats_errors.Error:
        return False
    finally:
        await client.close()
    return True


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_jwt_does_not_connect(tmp_path: Path, forge: Forge) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as operator:
            genuine = nats.device_credentials("mallory")
            assert not await connects(nats, forge(nats.server.accounts, genuine))
            assert await keyvalue.get(operator, STATUS_BUCKET, "mallory", 2) is None
            assert await users(nats) == {"operator"}
            assert await connects(nats, genuine)

    asyncio.run(run())


async def users(nats: MessagePlane) -> set[str]:
    """The names of all that the server has let in, but for the one that asks."""
    credentials = nats.server.accounts.system_credentials
    endpoint = Endpoint((nats.server.url,), credentials, "system", "_INBOX_system")
    async with connected(endpoint) as system:
        answer = await system.request("$SYS.REQ.SERVER.PING.CONNZ", b"", 2)
        found = json.loads(answer.payload)["data"]["connections"]
        return {str(connection.get("name")) for connection in found} - {"system"}


def test_a_signer_that_took_any_name_would_let_one_device_write_the_keys_of_all(
    tmp_path: Path,
) -> None:
    """Why the signer checks the device id: the server does not."""

    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as operator:
            star = signed_for_a_wildcard(nats.server.accounts)
            async with connected(Endpoint((nats.server.url,), star, "*", "_INBOX_x")) as mallory:
                await mallory.publish(key(STATUS_BUCKET, "victim"), b"by mallory")
                assert await value(operator, "victim") == b"by mallory"

    asyncio.run(run())


def signed_for_a_wildcard(accounts: Accounts) -> Credentials:
    user = KeyPair.new("U")
    devices, signing = accounts.keys["devices"], accounts.keys["device_signing"]
    nats = {"type": "user", "issuer_account": devices.public}
    return Credentials(encode_jwt(signing, user.public, "*", nats), user.seed)


async def value(operator: Plane, name: str) -> bytes:
    async with asyncio.timeout(5):
        while (entry := await keyvalue.get(operator, STATUS_BUCKET, name, 2)) is None:
            pass
    return entry.value
