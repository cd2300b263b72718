"""Each of these mistakes, put into a copy of the code, is seen by the case that is named for it."""

from pathlib import Path

import pytest
from tests.e2e.copies import ASSERTED, run_on_copy
from tests.e2e.mistakes import UNDER_SYSTEMD
from tests.machines.hub import Hub

pytestmark = pytest.mark.machines


@pytest.mark.parametrize("name", UNDER_SYSTEMD)
def test_the_named_case_sees_the_mistake(name: str, hub: Hub, tmp_path: Path) -> None:
    mistake = UNDER_SYSTEMD[name]
    (ran,) = run_on_copy(tmp_path, mistake, [mistake.node])
    assert not ran.broken, ran
    assert ran.why_failed is not None, ran
    assert ran.why_failed.startswith((*ASSERTED, "tests.machines.hub.Refused")), ran
