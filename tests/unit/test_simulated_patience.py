"""How long a simulated client waits: each request by its own limit, whichever others there are."""

import asyncio

import pytest

from harmony_fleet.messaging.requests import RequestTimedOut
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.patience import Patience

Ended = list[tuple[str, float]]


def ended(*asked: tuple[str, float, float, float]) -> Ended:
    """Of requests by name, when each was sent, its limit, and when it is answered (0: never)."""
    loop = SimulatedLoop()  # type: ignore[abstract]
    found: Ended = []

    async def ask(
        patience: Patience, name: str, sent_s: float, limit_s: float, answer_s: float
    ) -> None:
        await asyncio.sleep(sent_s)
        future = loop.create_future()
        patience.limit(future, limit_s, name)
        if answer_s:
            loop.call_at(answer_s, future.set_result, "an answer")
        try:
            found.append((await future, loop.now_s))
        except RequestTimedOut as error:
            found.append((str(error), loop.now_s))

    async def all_of_them() -> None:
        patience = Patience(loop, loop.outside)
        await asyncio.gather(*(ask(patience, *one) for one in asked))

    loop.run(all_of_them())
    return found


def late(name: str) -> str:
    return f"no answer on {name} in time"


def test_requests_of_one_length_end_in_the_order_in_which_they_were_sent() -> None:
    assert ended(("a", 0.0, 5.0, 0.0), ("b", 1.0, 5.0, 0.0), ("c", 9.0, 5.0, 0.0)) == [
        (late("a"), 5.0),
        (late("b"), 6.0),
        (late("c"), 14.0),
    ]


def test_a_shorter_limit_does_not_wait_for_a_longer_one() -> None:
    assert ended(("long", 0.0, 5.0, 0.0), ("short", 1.0, 2.0, 0.0)) == [
        (late("short"), 3.0),
        (late("long"), 5.0),
    ]


@pytest.mark.parametrize("answer_s", [1.5, 4.5])
def test_an_answer_in_time_is_kept_and_takes_nothing_from_the_others(answer_s: float) -> None:
    assert ended(("first", 0.0, 5.0, answer_s), ("other", 1.0, 5.0, 0.0)) == [
        ("an answer", answer_s),
        (late("other"), 6.0),
    ]


def test_a_request_after_all_others_have_ended_has_its_limit_as_well() -> None:
    assert ended(("first", 0.0, 1.0, 0.5), ("later", 7.0, 1.0, 0.0)) == [
        ("an answer", 0.5),
        (late("later"), 8.0),
    ]
