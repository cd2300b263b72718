"""Nonsense is logged at once, and a flood of it as one line a minute with its number."""

import pytest

from harmony_fleet.operator.complaints import QUIET_S, Complaints


def test_each_device_is_complained_of_now_and_then_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 5.0
    complaints = Complaints(lambda: now_s)
    for _ in range(100):
        complaints.of("pi-1", "pi-1 is wrong")
        complaints.of("pi-2", "pi-2 is wrong")
    assert caplog.messages == ["pi-1 is wrong", "pi-2 is wrong"]
    now_s += QUIET_S
    complaints.of("pi-1", "pi-1 is wrong")
    complaints.of("pi-1", "pi-1 is wrong")
    assert caplog.messages[2:] == ["pi-1 is wrong (and 99 more of its messages)"]
