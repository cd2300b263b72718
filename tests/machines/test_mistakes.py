"""Each of these mistakes, put into a copy of the code, is seen by the case that is named for it."""

from pathlib import Path

import pytest
from tests.e2e.copies import ASSERTED, Ran, run_on_copy
from tests.e2e.mistakes import UNDER_SYSTEMD
from tests.machines.hub import Hub

pytestmark = pytest.mark.machines


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_the_named_case_sees_the_mistake(name: str, hub: Hub, tmp_path: Path) -> None:
    mistake = UNDER_SYSTEMD[name]
    (ran,) = run_on_copy(tmp_path, mistake, [mistake.node])
    assert not ran.broken, ran
    assert ran.why_failed is not None, ran
    assert ran.why_failed.startswith(ASSERTED) or asserted_inside(ran), ran


def test_the_named_cases_pass_on_a_copy_without_a_mistake(hub: Hub, tmp_path: Path) -> None:
    ran = run_on_copy(tmp_path, None, [mistake.node for mistake in UNDER_SYSTEMD.values()])
    assert [one for one in ran if one.broken or one.why_failed is not None] == []
    assert len(ran) == len(UNDER_SYSTEMD)


def asserted_inside(ran: Ran) -> bool:
    """A case that runs in a machine: a command that fails for another reason has seen nothing."""
    return "E           AssertionError" in ran.told and "executor_inside.py" in ran.told
