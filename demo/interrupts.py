"""Ctrl-C, and what else asks the demo to end: heeded everywhere but in the middle of a start."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from harmony_fleet.cli.interrupts import INTERRUPTS

__all__ = ["INTERRUPTS", "heed_interrupts", "interrupts_later"]


def heed_interrupts() -> None:
    """Each of these signals is a KeyboardInterrupt from now on."""
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """For what must not be done by half: an interrupt is heeded when the block has ended."""
    heard: list[int] = []
    for number in INTERRUPTS:
        signal.signal(number, lambda number, _frame: heard.append(number))
    try:
        yield
    finally:
        heed_interrupts()
        if heard:
            raise KeyboardInterrupt
