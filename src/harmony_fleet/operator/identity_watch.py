"""Whether two processes answer under one device id: `observe(identity, heartbeat)`. Pure, no clock.

Rules
1. A new instance is a restart. One that comes back once may be a late heartbeat of a process that
   was replaced; one that comes back, is replaced and comes back again takes turns with another.
2. The suspicion ends when one instance alone was heard for `CALM_INTERVALS` of the longest interval
   that any of them has named: by then another one would have been heard. The others are forgotten.
3. How long that was is the sum of the intervals that the heartbeats name: no clock is asked, and a
   heartbeat that comes twice, or late, adds nothing.
"""

from dataclasses import dataclass, replace

from harmony_fleet.contracts.heartbeat import Heartbeat

CALM_INTERVALS = 3
"""As many as a heartbeat's key lives in its bucket."""
RETURNS_OF_TURNS = 2
INSTANCES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Instance:
    """One process that was heard as primary."""

    boot_id: str
    instance_id: str
    longest_ms: int
    """The longest interval between its heartbeats that it has named."""
    returns: int = 0
    """How often it was heard again after another one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has been heard as primary under one device id."""

    recent: tuple[Instance, ...] = ()
    """Each once, the one heard last at the end."""
    beat: int = 0
    """The highest number of a heartbeat of that one, since another was heard."""
    interval_ms: int = 0
    """As that heartbeat named it."""
    alone_ms: int = 0
    """For so long that one alone has been heard."""
    duplicate: bool = False


def observe(identity: Identity, beat: Heartbeat) -> Identity:
    """After one live heartbeat of a primary."""
    current = identity.recent[-1] if identity.recent else None
    if current is None or not _is_of(current, beat):
        return _changed(identity, beat)
    if beat.beat <= identity.beat:
        return identity
    if beat.interval_ms > current.longest_ms:
        current = replace(current, longest_ms=beat.interval_ms)
    # The smaller one: a change of pace is announced at once, before the longer one has passed.
    alone_ms = identity.alone_ms + min(identity.interval_ms, beat.interval_ms)
    heard = (*identity.recent[:-1], current)
    if alone_ms >= CALM_INTERVALS * max(one.longest_ms for one in heard):
        return Identity((replace(current, returns=0),), beat.beat, beat.interval_ms, alone_ms)
    return Identity(heard, beat.beat, beat.interval_ms, alone_ms, identity.duplicate)


def _changed(identity: Identity, beat: Heartbeat) -> Identity:
    before = next((one for one in identity.recent if _is_of(one, beat)), None)
    others = tuple(one for one in identity.recent if one is not before)
    if before is None:
        now = Instance(beat.boot_id, beat.instance_id, beat.interval_ms)
    else:
        longest_ms = max(before.longest_ms, beat.interval_ms)
        now = replace(before, longest_ms=longest_ms, returns=before.returns + 1)
    return Identity(
        (*others, now)[-INSTANCES_KEPT:],
        beat.beat,
        beat.interval_ms,
        duplicate=identity.duplicate or now.returns >= RETURNS_OF_TURNS,
    )


def _is_of(instance: Instance, beat: Heartbeat) -> bool:
    return (instance.boot_id, instance.instance_id) == (beat.boot_id, beat.instance_id)
