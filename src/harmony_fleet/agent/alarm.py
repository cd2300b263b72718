"""Waits for an event, and for no longer than a while."""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Until it is set: by others, or because the time is over."""
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
