"""An order that was decided upon what is so no longer is not given."""

from dataclasses import replace

import pytest
from tests.unit.coordinator_cases import FIRST, HEARD, SECOND, after, ordered, said

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.coordinator import Overtaken, step
from harmony_fleet.operator.events import Ordered

UNDER_WAY = after(HEARD, ordered())
FAILED = after(UNDER_WAY, said(4, AgentUpgradePhase.FAILED))


def over(upgrade_id: str | None) -> Ordered:
    return replace(ordered(SECOND, "2.0.0", replace=True), over=upgrade_id)


def test_of_two_operators_that_order_the_same_at_once_the_second_one_is_refused() -> None:
    for case in (UNDER_WAY, FAILED):
        with pytest.raises(Overtaken, match="pi-1 meanwhile"):
            step(case, over(""))
    with pytest.raises(Overtaken):
        step(HEARD, over(FIRST))


def test_one_that_saw_the_newest_order_or_says_nothing_of_it_gives_its_own() -> None:
    for case, seen in ((HEARD, ""), (UNDER_WAY, FIRST), (FAILED, FIRST), (UNDER_WAY, None)):
        given = step(case, over(seen))[0].record.order
        assert given is not None
        assert given.upgrade_id == SECOND
