"""What asks a command to end that has started others: each of these signals is as Ctrl-C to it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """The first one is a KeyboardInterrupt, others hurry nothing. In the main thread only.

    What is ignored stays so, as SIGHUP does under nohup.
    """
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    heeded = [number for number, was in before.items() if was is not signal.SIG_IGN]

    def first(_number: int, _frame: FrameType | None) -> None:
        for number in heeded:
            signal.signal(number, _nothing)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """And no SIG_IGN, which what is started meanwhile would inherit."""
