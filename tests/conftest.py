"""Two rules for all suites: where HARMONY_FLEET_NO_SKIPS is set, a skipped test has failed, unless
it is one that a machine may refuse; and an interrupt interrupts, however the tests were started.
"""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("fleet", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("fleet")

# A shell that starts the tests in the background has them ignore SIGINT, and all that they start:
# what an interrupt does could not be tested then.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    outcome = yield
    report = outcome.get_result()
    excused = item.get_closest_marker("machine_may_refuse")
    if report.skipped and not excused and os.environ.get("HARMONY_FLEET_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
