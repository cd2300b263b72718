"""One short paragraph for `fleet why`: what runs, what is waited for, on which evidence. Pure.

Said as a colleague would: facts that the operator has seen, and what it has only been told,
are told apart; a device's own words are quoted.
"""

from typing import Final, assert_never

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Cause, Desired
from harmony_fleet.operator.coordinator import RENEW_JOURNAL, Case
from harmony_fleet.operator.records import Order
from harmony_fleet.operator.views import (
    Sight,
    blocking,
    candidate_seen,
    conditions,
    online,
    progress_of,
    seconds_between,
    waits_for,
)

EVIDENCE_LINES: Final = 3


def why(sight: Sight, now: str) -> str:
    """`now` is RFC 3339, by the clock that wrote the record's times."""
    order = sight.case.record.order
    parts = [_runs(sight)]
    if sight.case.identity.duplicate:
        parts.append(_duplicate())
    if sight.case.set_back:
        parts.append(_set_back())
    if sight.case.record.paused:
        parts.append(_paused(sight.case.record.device_id))
    if order is None:
        parts.append("No upgrade has been ordered.")
    elif order.open:
        parts += _open(sight, order, now)
    else:
        parts += _ended(sight, order)
    return " ".join(" ".join(parts).split())


def _runs(sight: Sight) -> str:
    record, beat, age = sight.case.record, sight.case.heartbeat, sight.heard_age_s
    name, version = record.device_id, record.current_version
    if age is None or beat is None:
        if version is None:
            return f"{name} has never been heard: no heartbeat has come under this name."
        return f"{name} has not been heard since this operator started; it ran {version} before."
    runs = f"runs {version or beat.agent_version}"
    if online(sight):
        return f"{name} {runs}: its last heartbeat came {_span(age)} ago."
    due = _span(beat.interval_ms / 1000)
    return (
        f"{name} is silent: its last heartbeat came {_span(age)} ago, one is due every {due}. "
        f"As far as is known it {runs}."
    )


def _duplicate() -> str:
    return (
        "Two processes answer under this name in turn, so neither gets an order or a stop: "
        "give one of the two machines another device id."
    )


def _set_back() -> str:
    return (
        "What it reports is older than what its journal had told before, as after a restore of an "
        f"older image, so nothing of it is believed: {RENEW_JOURNAL}."
    )


def _paused(name: str) -> str:
    return f"It is paused: nothing new is ordered of it until `fleet device resume {name}`."


def _open(sight: Sight, order: Order, now: str) -> list[str]:
    parts = [_abort_or_phase(sight, order, now)]
    if order.cause is not None:
        parts.append(f"The device says why it waits: {_quoted(order.cause)}")
    stalled = "Stalled" in conditions(sight, now)
    waits = "It is stalled, waiting" if stalled else "It waits"
    return [*parts, f"{waits} for {waits_for(sight)}."]


def _abort_or_phase(sight: Sight, order: Order, now: str) -> str:
    told = _phase(sight, order) + _for_how_long(order, now)
    if order.desired is not Desired.ABORT:
        return told
    return f"{told} An abort was ordered, so no stop goes out any more; the device has the word."


def _phase(sight: Sight, order: Order) -> str:
    to = order.version
    match order.phase:
        case AgentUpgradePhase.PENDING:
            return _pending(sight, order)
        case AgentUpgradePhase.STAGING:
            return f"It is downloading {to}{_progress(sight, order)}{_attempt(order)}"
        case AgentUpgradePhase.VERIFYING:
            return f"{to} is downloaded and is being tested on the device{_attempt(order)}"
        case AgentUpgradePhase.CUTOVER_READY:
            return _cutover(sight.case, order)
        case AgentUpgradePhase.COMMITTED:
            return f"The change to {to} is committed; {to} is on probation as the permanent agent"
        case AgentUpgradePhase.REVERTING:
            return f"The device is on its way back from {to}"
        case AgentUpgradePhase.SUCCEEDED:
            return f"Its last upgrade, {_path(order)}, succeeded"
        case AgentUpgradePhase.FAILED:
            return f"Its last upgrade, {_path(order)}, failed before anything had been changed"
        case AgentUpgradePhase.ROLLED_BACK:
            return f"Its last upgrade, {_path(order)}, was undone{_back(order)}"
        case AgentUpgradePhase.UNRESOLVED:
            return f"Its last upgrade, {_path(order)}, ended without a verdict"
        case AgentUpgradePhase.NEVER_STARTED:
            return f"The order for {to} was replaced by a newer one before the device began it"
        case AgentUpgradePhase.UNKNOWN:
            return (
                f"The device reports a phase of its upgrade {_path(order)} that is not known here"
            )
        case _:
            assert_never(order.phase)


def _pending(sight: Sight, order: Order) -> str:
    older = blocking(sight.case)
    told = f"{order.version} is ordered, and the device has not spoken of the order yet"
    if older is None:
        return told
    if older.phase is AgentUpgradePhase.COMMITTED:
        return f"{told}: {older.version} is still on probation there, and it takes one at a time"
    return f"{told}: it is still about to end the older attempt of {older.version}"


def _cutover(case: Case, order: Order) -> str:
    to = order.version
    ready = f"The device says that {to} is ready beside the version it runs"
    if not candidate_seen(case):
        told = f"{ready}, but no live heartbeat of {to} in this upgrade has been seen here"
        return f"{told}, and without one no stop is sent"
    seen = f"{ready}, and a live heartbeat of {to} in this upgrade was seen here"
    if case.unanswered:
        count = f"{case.unanswered} time{'s' if case.unanswered > 1 else ''}"
        return f"{seen}; the stop went {count} without a yes, which settles nothing: it is repeated"
    return f"{seen}; the stop has been sent" if case.stop_in_flight else f"{seen}; the stop is next"


def _progress(sight: Sight, order: Order) -> str:
    progress = progress_of(sight.case.heartbeat, order)
    if progress is None or not progress.total_bytes:
        return ""
    percent = min(100, 100 * progress.done_bytes // progress.total_bytes)
    return f", {percent} % of {progress.total_bytes / 1e6:.1f} MB there"


def _attempt(order: Order) -> str:
    return f" (attempt {order.attempt})" if order.attempt > 1 else ""


def _for_how_long(order: Order, now: str) -> str:
    age = seconds_between(order.since, now)
    return "." if age is None or age < 0 else f" ({order.phase} for {_span(age)})."


def _ended(sight: Sight, order: Order) -> list[str]:
    parts = [f"{_phase(sight, order)}."]
    if order.cause is not None:
        parts.append(f"Cause: {_quoted(order.cause)}")
        if order.cause.kind.counts_against_release:
            parts.append(
                f"These bytes of {order.version} are not tried here again unless --retry is said."
            )
    return parts


def _back(order: Order) -> str:
    return f": the device went back to {order.from_version}" if order.from_version else ""


def _path(order: Order) -> str:
    return (
        f"from {order.from_version} to {order.version}"
        if order.from_version
        else (f"to {order.version}")
    )


def _quoted(cause: Cause) -> str:
    sentence = cause.sentence.strip()
    end = "" if sentence.endswith((".", "!", "?", "…")) else "."
    told = f"{cause.kind}: {sentence}{end}" if sentence else f"{cause.kind}."
    lines = [line.strip() for line in cause.evidence.splitlines() if line.strip()]
    if not lines:
        return told
    shown = (
        lines if len(lines) <= EVIDENCE_LINES else [*lines[: EVIDENCE_LINES - 1], "…", lines[-1]]
    )
    return f"{told} Evidence: “{' / '.join(shown)}”."


def _span(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"
