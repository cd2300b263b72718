"""Cancelling, where a library underneath may lose it."""

import asyncio


def heed_cancellation() -> None:
    """Raises CancelledError where this task was cancelled and nobody said so.

    Before Python 3.12 `asyncio.wait_for`, by which nats-py waits, drops a cancel that comes
    together with the result (CPython issue 86296): who was cancelled would go on, and whoever waits
    for its end would hang. Our own code waits by `asyncio.timeout` instead.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
