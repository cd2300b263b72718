"""Watches one simulated world and says what must not be. It knows what really happened.

It asks nothing of the code that it judges, but what its journals, its store and its messages hold.
The numbers are those of `docs/proof.md`; 0 is a mistake of the code that none of them names.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.simulation.disk import JOURNAL
from harmony_fleet.simulation.machine import Machine
from harmony_fleet.simulation.nats_stream import Stored
from harmony_fleet.simulation.programs import Behaviour, Program

_COMMITTED: Final = frozenset(
    {Stage.COMMITTED, Stage.SUCCEEDED, Stage.REVERTING, Stage.ROLLED_BACK, Stage.UNRESOLVED}
)
_UNCOMMITTED: Final = frozenset({Stage.CUTOVER, Stage.REVERTING})
_LATER: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.STAGING: frozenset(Stage),
    Stage.VERIFYING: frozenset(Stage),
    Stage.CUTOVER: frozenset({Stage.CUTOVER, *_COMMITTED}),
    Stage.REVERTING: frozenset({Stage.REVERTING, Stage.ROLLED_BACK, Stage.UNRESOLVED}),
    Stage.COMMITTED: _COMMITTED,
    Stage.SUCCEEDED: frozenset({Stage.SUCCEEDED}),
    Stage.FAILED: frozenset({Stage.FAILED}),
    Stage.ROLLED_BACK: frozenset({Stage.ROLLED_BACK}),
    Stage.UNRESOLVED: frozenset({Stage.UNRESOLVED}),
}
_UNFIT: Final = frozenset(
    {
        Behaviour.CRASHES_AT_ONCE,
        Behaviour.CRASHES_LATER,
        Behaviour.HANGS,
        Behaviour.NO_CONTACT,
        Behaviour.REBOOTS,
    }
)
"""To be a primary. One that fails only as candidate may prove itself on trial."""
_NEVER_SUCCEED: Final = _UNFIT | {
    Behaviour.FAILS_SELF_TEST,
    Behaviour.HANGS_IN_SELF_TEST,
    Behaviour.WRONG_BYTES,
    Behaviour.LIES,
}
_DECIDERS: Final = frozenset({"primary", "guard"})
_STATUSES: Final = "$KV.agent-upgrade-status."
_HEARTBEATS: Final = "$KV.device-heartbeat."
_BEAT: Final = re.compile(rb'"agent_version":"([^"]*)".*"upgrade_id":"([^"]*)"')
_IN_NONE: Final = b'"upgrade_id":null'
_COMMANDS: Final = "device-cmd."


@dataclass(frozen=True, slots=True)
class Violation:
    at_s: float
    invariant: int
    device: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.at_s:9.3f} s invariant {self.invariant}, {self.device}: {self.sentence}"


@dataclass(slots=True)
class _Known:
    """Of one device."""

    machine: Machine
    stages: dict[str, Stage] = field(default_factory=dict)
    """By upgrade_id, as last made durable."""
    half: dict[str, Stage] = field(default_factory=dict)
    """What was written since, by somebody who did not live to see it durable."""
    verdicts: dict[str, str] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)
    ran: set[str] = field(default_factory=set)
    """What its primaries said that they are."""
    started_at_s: float = 0.0
    """Its last primary."""
    reported_at_s: float = -1.0
    """When the server last stored a status of it."""


class Judge:
    """A `Witness`."""

    def __init__(
        self,
        now: Callable[[], float],
        connected_since: Callable[[str], float],
        story: list[str] | None = None,
    ) -> None:
        """`connected_since`: of an operator. `story`: where to write all that is seen."""
        self._now, self._connected_since, self.story = now, connected_since, story
        self.violations: list[Violation] = []
        self._known: dict[str, _Known] = {}
        self._heard: dict[tuple[str, str], float] = {}
        """When the server last stored a heartbeat, by upgrade_id and version."""
        self._stops: set[str] = set()
        self._aborted: set[str] = set()
        self._targets: dict[str, str] = {}
        """Versions by upgrade_id, as the store has them."""
        self.accepted: dict[str, str] = {}
        """Devices by the upgrade_id of each order that an operator has taken."""

    def watch(self, machine: Machine) -> None:
        self._known[machine.device_id] = _Known(machine)

    def broken(self, invariant: int, device: str, sentence: str) -> None:
        violation = Violation(self._now(), invariant, device, sentence)
        self.violations.append(violation)
        self._tell(device, f"VIOLATION of invariant {invariant}: {sentence}")

    def _tell(self, who: str, what: str) -> None:
        if self.story is not None:
            self.story.append(f"{self._now():9.3f} {who}: {what}")

    # Witness

    def executed(self, device_id: str, what: str, version: str, program: Program | None) -> None:
        if self.story is not None:
            self._tell(device_id, f"{what} {version} is started")
        if program is None:
            self.broken(4, device_id, f"{what} {version} is no complete, verified file")
        elif program.version != version:
            sentence = f"the file of {version} is that of {program.version}, and was run as {what}"
            self.broken(3, device_id, sentence)
        elif what == "primary":
            self._started(device_id, self._known[device_id], program)

    def _started(self, device_id: str, known: _Known, program: Program) -> None:
        known.ran.add(program.says)
        known.started_at_s = self._now()
        journal = journal_on(known.machine)
        attempt = journal.open_attempt if journal else None
        if attempt is None or not known.machine.guard_did_well:
            return
        if attempt.to_version == program.version and attempt.stage in _UNCOMMITTED:
            sentence = f"{program.version} becomes primary in {attempt.stage}, though its guard ran"
            self.broken(2, device_id, sentence)

    def journaled(self, device_id: str, who: str, journal: Journal) -> None:
        known = self._known[device_id]
        attempt = journal.attempt
        if self.story is not None:
            stage = attempt.stage if attempt else "empty"
            why = f", {attempt.cause.kind}" if attempt and attempt.cause else ""
            self._tell(device_id, f"{who} has journaled {stage}{why} (seq {journal.seq})")
        deciders = [role for role in known.machine.processes.values() if role in _DECIDERS]
        if (writer := who.partition(" ")[0]) not in deciders:
            deciders.append(writer)  # in another process than the one whose part it is
        if len(deciders) > 1:
            self.broken(5, device_id, f"{who} decides while {' and '.join(deciders)} live")
        for ended in journal.ended:
            if known.verdicts.setdefault(ended.upgrade_id, ended.phase) != ended.phase:
                self.broken(5, device_id, f"the verdict on {ended.upgrade_id} has changed")
        if attempt is not None and attempt.upgrade_id is not None:
            self._attempted(device_id, known, who, attempt, attempt.upgrade_id)

    def half_journaled(self, device_id: str, who: str, journal: Journal) -> None:
        attempt = journal.attempt
        if attempt is not None and attempt.upgrade_id is not None:
            self._known[device_id].half[attempt.upgrade_id] = attempt.stage
            self._tell(device_id, f"{who} has written {attempt.stage}, which is not durable yet")

    def _attempted(
        self, device_id: str, known: _Known, who: str, attempt: Attempt, upgrade_id: str
    ) -> None:
        before, stage = known.stages.get(upgrade_id), attempt.stage
        half = known.half.pop(upgrade_id, None)
        known.stages[upgrade_id] = stage
        allowed = [_LATER[one] for one in (before, half) if one is not None]
        if before is not None and not any(stage in later for later in allowed):
            self.broken(5, device_id, f"{who} made {stage} of {before} in {upgrade_id}")
        back = (before, stage) == (Stage.COMMITTED, Stage.REVERTING)
        if back and half is not Stage.REVERTING and not who.startswith("guard"):
            self.broken(5, device_id, f"{who} began to take back what was committed")
        if stage is Stage.COMMITTED and upgrade_id not in self._stops:
            self.broken(
                2, device_id, f"{who} has committed {upgrade_id} without an operator's stop"
            )
        sha256 = attempt.artifact.sha256 if attempt.artifact else ""
        begun = before is None and stage is Stage.STAGING
        if before is None and upgrade_id not in self._targets:
            self.broken(8, device_id, f"{who} takes up {upgrade_id}, which nobody has ordered")
        if begun and not attempt.retry and sha256 in known.quarantined:
            self.broken(11, device_id, f"{attempt.to_version} is tried again without --retry")
        proven = stage is Stage.SUCCEEDED and before is Stage.COMMITTED
        if proven and known.reported_at_s < known.started_at_s:
            self.broken(10, device_id, f"{who} succeeded, and no status of it was stored")
        if stage is Stage.SUCCEEDED:
            known.quarantined.discard(sha256)
        elif not stage.open and attempt.cause and attempt.cause.kind.counts_against_release:
            known.quarantined.add(sha256)

    def unit(self, device_id: str, state: str) -> None:
        if self.story is not None:
            self._tell(device_id, f"the unit is {state}")

    def exited(self, device_id: str, process: str, status: int | None) -> None:
        if self.story is not None:
            how = "was killed" if status is None else f"left with status {status}"
            self._tell(device_id or process, f"{process} {how}")

    def said(self, who: str, what: str) -> None:
        self._tell(who, what)

    # The plane and the store

    def stored(self, subject: str, stored: Stored) -> None:
        if subject.startswith(_STATUSES):
            known = self._known.get(subject.removeprefix(_STATUSES))
            if known is not None:
                known.reported_at_s = stored.at_s
            return
        if not subject.startswith(_HEARTBEATS) or _IN_NONE in stored.payload:
            return
        found = _BEAT.search(stored.payload)
        if found is not None:
            version, upgrade_id = found.groups()
            self._heard[upgrade_id.decode(), version.decode()] = stored.at_s

    def sent(self, who: str, subject: str, payload: bytes) -> None:
        if not subject.startswith(_COMMANDS):
            return
        command = json.loads(payload)
        if command["verb"] != "UpgradeStop":
            return
        device, upgrade_id = subject.removeprefix(_COMMANDS), command["upgrade_id"]
        self._tell(who, f"sends {device} the stop of {upgrade_id}")
        self._stops.add(upgrade_id)
        if upgrade_id in self._aborted:
            self.broken(2, device, f"{who} sends the stop of an upgrade that was aborted")
        target = self._targets.get(upgrade_id, "")
        heard_at_s = self._heard.get((upgrade_id, target))
        if heard_at_s is None or heard_at_s < self._connected_since(who):
            since = f"{self._connected_since(who):.3f} s"
            self.broken(
                2, device, f"{who} sends a stop: no heartbeat of {target} was stored since {since}"
            )

    def saved(self, who: str, record: DeviceRecord) -> None:
        order = record.order
        if order is None:
            return
        self._targets[order.upgrade_id] = order.version
        if order.desired is Desired.ABORT:
            self._aborted.add(order.upgrade_id)
        known = self._known[record.device_id]
        if self.story is not None:
            self._tell(who, f"stores {order.phase} of {record.device_id} ({order.upgrade_id[:8]})")
        if record.current_version is not None and record.current_version not in known.ran:
            sentence = f"the store says that {record.current_version} runs, which never did"
            self.broken(7, record.device_id, sentence)
        if order.phase in {AgentUpgradePhase.COMMITTED, AgentUpgradePhase.SUCCEEDED}:
            self._check_said(record.device_id, known, order)

    def aborted(self, device: str, upgrade_id: str) -> None:
        """A person was told that it is."""
        if upgrade_id not in self._aborted:
            self.broken(8, device, f"the abort of {upgrade_id} was acknowledged, and is not stored")

    def _check_said(self, device_id: str, known: _Known, order: Order) -> None:
        journal = journal_on(known.machine)
        ended = journal.verdict_on(order.upgrade_id) if journal else None
        attempt = journal.attempt if journal else None
        under_way = attempt is not None and attempt.upgrade_id == order.upgrade_id
        committed = ended is not None or (
            under_way and attempt is not None and attempt.stage in _COMMITTED
        )
        wanted = order.phase is not AgentUpgradePhase.SUCCEEDED or (
            ended is not None and ended.phase is AgentUpgradePhase.SUCCEEDED
        )
        if not (committed and wanted):
            self.broken(10, device_id, f"the store says {order.phase}, and its journal does not")

    # In the end

    def still_open(self, records: Sequence[DeviceRecord]) -> list[str]:
        """What has not come to its end yet."""
        waits = []
        for record in records:
            machine = self._known[record.device_id].machine
            journal = journal_on(machine)
            if journal is not None and journal.open_attempt is not None:
                stage = journal.open_attempt.stage
                waits.append(f"{record.device_id} is in {stage}")
            waits += [
                f"{order.version} on {record.device_id} is {order.phase}"
                for order in orders_of(record)
                if order.open
            ]
        return waits

    def judge_end(self, records: Sequence[DeviceRecord], programs: Mapping[str, Program]) -> None:
        """Once nothing is under way any more."""
        stored = {order.upgrade_id for record in records for order in orders_of(record)}
        for upgrade_id, device in self.accepted.items():
            if upgrade_id not in stored:
                self.broken(8, device, f"the order {upgrade_id} is lost")
        for record in records:
            self._judge_device(record, programs)

    def _judge_device(self, record: DeviceRecord, programs: Mapping[str, Program]) -> None:
        name = record.device_id
        journal = journal_on(self._known[name].machine)
        for order in orders_of(record):
            ended = journal.verdict_on(order.upgrade_id) if journal else None
            said = ended.phase if ended else AgentUpgradePhase.NEVER_STARTED
            if said is not order.phase:
                words = f"of {order.version} the store says {order.phase}, the journal {said}"
                self.broken(8, name, words)
            bad = programs[order.version].behaviour in _NEVER_SUCCEED
            ran_already = order.cause is not None and order.cause.kind is CauseKind.ALREADY_RUNNING
            if order.phase is AgentUpgradePhase.SUCCEEDED and bad and not ran_already:
                behaviour = programs[order.version].behaviour
                self.broken(10, name, f"{order.version}, {behaviour}, is said to have succeeded")

    def judge_running(self, record: DeviceRecord, running: Program | None, state: str) -> None:
        name = record.device_id
        if running is None or state != "running" or running.behaviour in _UNFIT:
            what = f"{running.version} ({running.behaviour})" if running else "nothing"
            self.broken(1, name, f"in the end {what} runs there, and its unit is {state}")
        elif record.current_version != running.says:
            words = f"the store says that {record.current_version} runs, and it is {running.says}"
            self.broken(7, name, words)


def orders_of(record: DeviceRecord) -> tuple[Order, ...]:
    return (*record.past, *((record.order,) if record.order else ()))


def journal_on(machine: Machine) -> Journal | None:
    found = machine.disk.seen(JOURNAL)
    return found if isinstance(found, Journal) else None
