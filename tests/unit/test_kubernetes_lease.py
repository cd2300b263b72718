"""Of several replicas one leads, and never two, whatever is delayed, lost or killed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.unit.lease_world import (
    LOST,
    TIMING,
    Fate,
    OwnClock,
    Replica,
    Replicas,
    Wire,
    bad_network,
    now_s,
)

from harmony_fleet.operator.kubernetes.lease import Elector, Held
from harmony_fleet.testing import fake_clock

NOTICED_S = TIMING.duration_s + TIMING.retry_s * 1.2 + 0.05
"""Until another leads after the last renewal: it may have seen that one late by a try."""


def played(story: Callable[[Replicas], Awaitable[None]]) -> Replicas:
    async def run() -> Replicas:
        replicas = Replicas()
        try:
            await story(replicas)
        finally:
            await replicas.close()
        return replicas

    return fake_clock.run(run())


async def two(replicas: Replicas) -> tuple[Replica, Replica]:
    """The first one leads."""
    one = replicas.add()
    await replicas.led_by(one)
    other = replicas.add()
    await asyncio.sleep(1)
    return one, other


def test_the_first_one_leads_and_the_others_know_who_it_is() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        await asyncio.sleep(60)
        assert replicas.leaders == [one.name]
        assert one.elector.leader == other.elector.leader == one.name
        assert len(replicas.terms) == 1

    played(story)


def test_the_lease_says_for_people_who_holds_it_since_when_and_how_often_it_changed_hands() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        assert replicas.lease.held.holder == one.name
        assert replicas.lease.held.transitions == 1
        await one.ended()
        await replicas.led_by(other)
        held = replicas.lease.held
        assert (held.holder, held.transitions) == (other.name, 2)
        assert held.renewed_at == held.acquired_at == OwnClock().now()

    played(story)


def test_one_that_ends_in_order_gives_it_up_so_that_another_need_not_wait() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        await one.ended()
        assert replicas.lease.held.holder == ""
        assert one.elector.leader == ""
        assert await replicas.led_by(other) <= TIMING.retry_s * 1.2 + 0.05

    played(story)


def test_the_lease_is_given_up_after_what_the_leader_did_has_ended() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        one.tidying_s = 1.5
        ending = asyncio.create_task(one.ended())
        await asyncio.sleep(1.4)
        assert replicas.lease.held.holder == one.name
        assert not other.leads
        await ending
        assert await replicas.led_by(other) <= TIMING.retry_s * 1.2 + 0.05

    played(story)


def test_one_that_is_cancelled_once_more_while_it_ends_does_not_give_it_up() -> None:
    async def story(replicas: Replicas) -> None:
        one, _ = await two(replicas)
        one.tidying_s = 3.0
        one.running.cancel()
        await asyncio.sleep(0.1)
        one.running.cancel()
        await asyncio.wait({one.running})
        assert replicas.lease.held.holder == one.name
        assert not one.elector.leads
        assert one.elector.leader == ""

    played(story)


def test_after_one_was_killed_another_leads_within_five_seconds() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        for _ in range(20):
            await asyncio.sleep(random.uniform(5, 6))
            killed_s = now_s()
            await one.killed()
            await replicas.led_by(other)
            assert now_s() - killed_s <= NOTICED_S < 5.0
            one, other = other, replicas.add()

    played(story)


def test_who_loses_contact_leads_no_more_before_another_may_begin() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        one.wire.cut = True
        cut_s = now_s()
        await replicas.led_by(other)
        first, second = replicas.terms
        assert first.ended_s is not None
        assert first.ended_s - cut_s <= TIMING.renew_limit_s + 0.02
        assert second.began_s - first.ended_s >= TIMING.duration_s - TIMING.renew_limit_s - 0.6
        one.wire.cut = False
        await asyncio.sleep(20)
        assert replicas.leaders == [other.name]
        assert one.elector.leader == other.name

    played(story)


@pytest.mark.parametrize("back_s", [0.5, 1.0, 1.9])
def test_a_renewal_counts_from_when_it_was_asked_for_not_from_its_answer(back_s: float) -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        asked_s = [now_s()]

        def answered_late() -> Fate:
            """And after this one nothing more arrives."""
            one.wire.fate = lambda: Fate(lost_there=True)
            asked_s.append(now_s())
            return Fate(back_s=back_s)

        one.wire.fate = answered_late
        while not other.leads:
            young = now_s() - asked_s[-1] < TIMING.renew_limit_s + 0.02
            assert young or not one.leads
            await asyncio.sleep(0.01)
        assert replicas.leaders == [other.name]

    played(story)


@pytest.mark.parametrize("hangs", [False, True])
def test_whose_renewals_fail_for_a_moment_goes_on(hangs: bool) -> None:
    async def story(replicas: Replicas) -> None:
        one, _ = await two(replicas)
        if hangs:
            one.wire.fate = lambda: Fate(back_s=1.8)
        else:
            replicas.lease.broken = LOST
        await asyncio.sleep(1.8)
        one.wire.fate, replicas.lease.broken = Fate, None
        await asyncio.sleep(20)
        assert replicas.leaders == [one.name]
        assert len(replicas.terms) == 1

    played(story)


def test_while_the_api_server_is_away_nobody_leads_and_afterwards_one_does() -> None:
    async def story(replicas: Replicas) -> None:
        await two(replicas)
        replicas.lease.broken = LOST
        await asyncio.sleep(30)
        assert replicas.leaders == []
        replicas.lease.broken = None
        await asyncio.sleep(5)
        assert len(replicas.leaders) == 1

    played(story)


def test_a_renewal_that_landed_although_its_answer_was_lost_is_found_to_be_our_own() -> None:
    async def story(replicas: Replicas) -> None:
        one, _ = await two(replicas)
        fates = iter([Fate(lost_back=True)])
        one.wire.fate = lambda: next(fates, Fate())
        await asyncio.sleep(20)
        assert replicas.leaders == [one.name]
        assert len(replicas.terms) == 1

    played(story)


def test_a_taking_over_that_landed_although_its_answer_was_lost_is_found_to_be_our_own() -> None:
    async def story(replicas: Replicas) -> None:
        fates = iter([Fate(), Fate(lost_back=True)])
        one = replicas.add(lambda: next(fates, Fate()), OwnClock(0.0))
        await asyncio.sleep(0.1)
        assert replicas.lease.held.holder == one.name
        assert replicas.leaders == []
        await replicas.led_by(one)
        assert replicas.lease.held.transitions == 1

    played(story)


def test_a_slow_api_server_lets_one_lead_all_the_same() -> None:
    async def story(replicas: Replicas) -> None:
        one = replicas.add(lambda: Fate(there_s=0.5, back_s=0.4))
        await asyncio.sleep(60)
        assert replicas.leaders == [one.name]
        assert len(replicas.terms) == 1

    played(story)


def test_a_lease_that_somebody_deletes_is_made_anew_and_one_leads_in_the_end() -> None:
    async def story(replicas: Replicas) -> None:
        await two(replicas)
        replicas.lease.delete()
        await asyncio.sleep(10)
        assert len(replicas.leaders) == 1
        assert replicas.lease.held.holder == replicas.leaders[0]

    played(story)


def test_a_lease_that_somebody_takes_by_hand_is_lost() -> None:
    async def story(replicas: Replicas) -> None:
        one, _ = await two(replicas)
        held = replicas.lease.held
        await replicas.lease.write(
            Held("somebody", held.renewed_at, held.acquired_at, 2, held.version)
        )
        await asyncio.sleep(TIMING.retry_s * 2 + 0.1)
        assert replicas.leaders == []
        assert one.elector.leader == "somebody"
        await asyncio.sleep(10)
        assert len(replicas.leaders) == 1, "he did not renew it"

    played(story)


def test_who_was_just_started_never_believes_to_lead_by_what_it_finds() -> None:
    """The Lease names it, by a write of which it does not know; its clock began a moment ago."""

    async def story(replicas: Replicas) -> None:
        await replicas.lease.write(Held("replica-0", "", "", 1, ""))
        fates = iter([Fate(), Fate(there_s=50.0)])
        one = replicas.add(lambda: next(fates, Fate()), OwnClock(0.0))
        while now_s() < TIMING.duration_s - 0.1:
            await asyncio.sleep(0.05)
            assert not one.elector.leads
        assert await replicas.led_by(one) <= 1.0, "one that is never answered holds it up no longer"

    played(story)


@pytest.mark.parametrize("fails", [False, True])
def test_a_leader_whose_work_ends_by_itself_gives_the_lease_up_and_ends(fails: bool) -> None:
    async def work() -> None:
        await asyncio.sleep(1)
        if fails:
            raise ConnectionError("the message plane is gone")

    async def story(replicas: Replicas) -> None:
        elector = Elector(Wire(replicas.lease), "one", OwnClock())
        expected = ConnectionError if fails else RuntimeError
        with pytest.raises(expected, match=r"gone|ended by itself"):
            await elector.run(work)
        assert replicas.lease.held.holder == ""
        assert not elector.leads

    played(story)


def test_a_fault_while_renewing_ends_the_replica_and_is_not_hidden() -> None:
    faults = iter([ValueError("a bug")])

    class Faulty(Wire):
        async def write(self, held: Held) -> Held:
            if held.version and (fault := next(faults, None)):
                raise fault
            return await super().write(held)

    async def lead() -> None:
        await asyncio.Event().wait()

    async def story(replicas: Replicas) -> None:
        elector = Elector(Faulty(replicas.lease), "one", OwnClock())
        with pytest.raises(ValueError, match="a bug"):
            async with asyncio.timeout(60):
                await elector.run(lead)
        assert replicas.lease.held.holder == ""

    played(story)


def test_a_lease_that_cannot_be_given_up_holds_nobody_up_for_long() -> None:
    async def story(replicas: Replicas) -> None:
        one, other = await two(replicas)
        began_s = now_s()
        await one.killed()
        assert now_s() - began_s <= 1.01
        replicas.lease.broken = LOST
        await other.ended()
        replicas.lease.broken = None

    played(story)


# Whatever happens


@pytest.mark.parametrize("seed", range(40))
def test_never_do_two_believe_to_lead_whatever_is_delayed_lost_or_killed(seed: int) -> None:
    random.seed(seed)
    chance = Random(seed)
    late_s: Callable[[], float] = lambda: chance.choice((0.0, 0.0, 0.0, 0.3, 5.0))  # noqa: E731

    def one_more(replicas: Replicas) -> None:
        clock = OwnClock(chance.uniform(-500, 500), late_s if chance.random() < 0.4 else float)
        replicas.add(bad_network(chance), clock)

    async def watched(replicas: Replicas) -> None:
        while True:
            assert len(replicas.leaders) <= 1, (now_s(), replicas.leaders)
            working = {term.who for term in replicas.terms if term.ended_s is None}
            assert len(working) <= 2, "one that has lost it, and wakes up late"
            await asyncio.sleep(0.02)

    async def troubled(replicas: Replicas) -> None:
        for _ in range(2 + seed % 2):
            one_more(replicas)
        for _ in range(25):
            await asyncio.sleep(chance.uniform(0, 8))
            alive = [one for one in replicas.all if not one.running.done()]
            one = chance.choice(alive)
            match chance.randrange(4):
                case 0:
                    one.wire.cut = not one.wire.cut
                case 1:
                    await one.killed()
                    one_more(replicas)
                case 2:
                    await one.ended()
                    one_more(replicas)
                case _:
                    replicas.lease.broken = None if replicas.lease.broken else LOST

    async def story(replicas: Replicas) -> None:
        watch = asyncio.create_task(watched(replicas))
        await troubled(replicas)
        replicas.lease.broken = None
        for one in replicas.all:
            one.wire.fate, one.clock.late_s = Fate, float
            one.wire.cut = one.running.done()
        await asyncio.sleep(30)
        assert len(replicas.leaders) == 1, "and in the end one does"
        assert not watch.done()
        watch.cancel()

    assert len(played(story).terms) > 1
