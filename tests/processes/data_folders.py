"""A control plane's data folder as `fleet up` leaves it, made without starting one."""

import asyncio
import hashlib
from pathlib import Path

from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.embedded.data_folder import held
from harmony_fleet.operator.records import DeviceRecord, Release
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import SystemClock

ARTIFACT = b"an agent" * 1000
SIGNATURE = "signature-of-the-link-0123456789"
"""Whoever has it can download what the link leads to."""
ELSEWHERE = f"https://files.example/agent?X-Amz-Signature={SIGNATURE}&sig=short-one"
NAME = f"fleet-agent-v1.0.0-{hashlib.sha256(ARTIFACT).hexdigest()[:16]}"


def served_once(data: Path, *device_ids: str) -> None:
    """These devices, one release with its artifact, keys, certificates and a token."""
    with held(data) as folder:
        asyncio.run(fill(folder.store, *device_ids))
        (folder.artifacts / NAME).write_bytes(ARTIFACT)
        Accounts.open(folder.nats / "accounts")
        Certificates.open(folder.tls, ["fleet.example"])
        folder.remember_nats_port(4222)


async def fill(store_file: Path, *device_ids: str) -> None:
    async with SqliteStore(store_file, SystemClock()) as store:
        for device_id in device_ids:
            await store.save(DeviceRecord(device_id, "1.0.0"), 0)
        digest = hashlib.sha256(ARTIFACT).hexdigest()
        await store.add_release(Release("1.0.0", NAME, len(ARTIFACT), digest, ">=3.11", "now"))
        await store.add_release(Release("1.1.0", "", 100, "b" * 64, "", "now", ELSEWHERE))
