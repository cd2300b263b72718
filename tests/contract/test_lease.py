"""The fake Lease keeps the contract; tests/kube holds the real one to it."""

import asyncio

import pytest

from harmony_fleet.operator.kubernetes.lease import Leases
from harmony_fleet.testing import lease_suite
from harmony_fleet.testing.fake_lease import FakeLease


class FakeWorld:
    def __init__(self) -> None:
        self.lease = FakeLease()

    def another(self) -> Leases:
        return self.lease

    async def delete(self) -> None:
        self.lease.delete()


@pytest.mark.parametrize("case", lease_suite.CASES, ids=lease_suite.name)
def test_a_lease(case: lease_suite.Case) -> None:
    async def run() -> None:
        await case(FakeWorld())

    asyncio.run(run())
