"""One message of each shape with every field set, and strategies for all wire types."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.record import Attempt, Installed, Journal, Stage
from harmony_fleet.contracts.commands import Answer, Command, Info, Outcome, Verb
from harmony_fleet.contracts.heartbeat import MAX_INTERVAL_MS, Heartbeat, Progress, Role
from harmony_fleet.contracts.identity import MAX_COUNT
from harmony_fleet.contracts.preflight import (
    Check,
    CheckName,
    CheckState,
    PreflightAnswer,
    PreflightCommand,
)
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
    Ended,
    Marker,
    MarkerHead,
    Status,
)

ID: Final = "0123456789abcdef" * 2
OLDER_ID: Final = "fedcba9876543210" * 2
OLDEST_ID: Final = "00112233445566778899aabbccddeeff"
DIGEST: Final = "ab" * 32
OTHER_DIGEST: Final = "cd" * 32
AT: Final = "2026-01-01T00:00:00.123Z"

ARTIFACT: Final = Artifact("https://fleet.example/artifacts/a", 1_500_000, DIGEST)
CAUSE: Final = Cause(
    CauseKind.SELF_TEST_FAILED, "the self-test failed: “Größe” is missing", 'line 1\n\tline 2 \\ "'
)
ENDED_ONE: Final = Ended(OLDER_ID, 2, AgentUpgradePhase.ROLLED_BACK, CauseKind.CRASH_LOOP)
ENDED_WELL: Final = Ended(OLDEST_ID, 1, AgentUpgradePhase.SUCCEEDED)
CHECK: Final = Check(CheckName.DISK_SPACE, CheckState.FAILED, "“/usr/bin” has no room")
INFO: Final = Info("1.0.0", "instance-1", "boot-1", "3.11.7", "linux-x86_64")

GOLDEN: Final[Mapping[str, Any]] = {
    "marker": Marker("pi-1", ID, 3, "2.0.0-rc.1", ARTIFACT, Desired.RUN, True),
    "marker_abort": Marker("pi-1", ID, 3, "2.0.0", ARTIFACT, Desired.ABORT),
    "status": Status(
        device_id="pi-1",
        journal_id="journal-1",
        seq=17,
        generation=3,
        upgrade_id=ID,
        from_version="1.0.0",
        to_version="2.0.0-rc.1",
        phase=AgentUpgradePhase.FAILED,
        attempt=2,
        cause=CAUSE,
        deferred=OLDER_ID,
        ended=(ENDED_WELL, ENDED_ONE),
        ended_complete=False,
        sent_at=AT,
    ),
    "status_first": Status("pi-1", "journal-1", 0, 0),
    "heartbeat": Heartbeat(
        device_id="pi-1",
        agent_version="1.0.0",
        role=Role.PRIMARY,
        instance_id="instance-1",
        boot_id="boot-1",
        beat=7,
        interval_ms=30_000,
        upgrade_id=ID,
        progress=Progress(1_048_576, 1_500_000),
        sent_at=AT,
    ),
    "heartbeat_candidate": Heartbeat(
        "pi-1", "2.0.0", Role.CANDIDATE, "instance-2", "boot-1", 1, 1000, ID, sent_at=AT
    ),
    "heartbeat_idle": Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "i", "b", 1, 30_000),
    "command_ping": Command("pi-1", Verb.PING),
    "command_info": Command("pi-1", Verb.INFO),
    "command_upgrade_stop": Command("pi-1", Verb.UPGRADE_STOP, ID),
    "answer_ok": Answer("pi-1", Outcome.OK),
    "answer_info": Answer("pi-1", Outcome.OK, info=INFO),
    "answer_ended": Answer("pi-1", Outcome.ENDED, ended=ENDED_ONE),
    "answer_refused": Answer("pi-1", Outcome.REFUSED, "another upgrade is under way here"),
    "preflight": PreflightCommand("pi-1", "2.0.0-rc.1", ARTIFACT, AT, ">=3.11"),
    "preflight_answer": PreflightAnswer(
        "pi-1",
        Outcome.OK,
        version="2.0.0-rc.1",
        checks=(CHECK, Check(CheckName.CLOCK, CheckState.WARNING, "90 s behind the operator's")),
    ),
    "preflight_refused": PreflightAnswer("pi-1", Outcome.REFUSED, "another one is under way here"),
    "check": CHECK,
    "info": INFO,
    "ended": ENDED_ONE,
    "ended_well": ENDED_WELL,
    "journal": Journal(
        journal_id="journal-1",
        seq=17,
        highest=3,
        attempt=Attempt(
            upgrade_id=ID,
            generation=3,
            stage=Stage.COMMITTED,
            from_version="1.0.0",
            to_version="2.0.0-rc.1",
            artifact=ARTIFACT,
            target_sha256=OTHER_DIGEST,
            retry=True,
            tries=2,
            starts=1,
            since=BootTime("boot-1", 1234.5),
            cause=CAUSE,
            deferred=OLDER_ID,
        ),
        ended=(ENDED_WELL, ENDED_ONE),
        ended_complete=False,
        lost=True,
        quarantined=(DIGEST,),
        installed=Installed("1.0.0", OTHER_DIGEST),
    ),
    "journal_fresh": Journal("journal-1"),
}

MOST_ENDED: Final = tuple(
    replace(
        ENDED_ONE,
        upgrade_id=f"{n:032x}",
        generation=MAX_COUNT - n,
        phase=AgentUpgradePhase.NEVER_STARTED,
        cause=CauseKind.ROLLBACK_TARGET_DAMAGED,
    )
    for n in range(ENDED_KEPT)
)

_ids = st.sampled_from([ID, OLDER_ID, OLDEST_ID])
_tokens = st.text("09AZaz_-", min_size=1, max_size=64)
_device_ids = st.sampled_from(["a", "pi-1", "a" * 63])
_versions = st.sampled_from(["0.0.0", "1.10.0", "2.0.0-rc.1", "999999999.0.0-x-y.0a"])
_digests = st.sampled_from([DIGEST, OTHER_DIGEST])
_texts = st.text(max_size=12)
_counts = st.integers(0, MAX_COUNT)
_from_1 = st.integers(1, MAX_COUNT)
_artifacts = st.builds(Artifact, st.just("https://h/a"), _from_1, _digests)
_causes = st.builds(Cause, st.sampled_from(CauseKind), _texts, _texts)
_ends = [phase for phase in AgentUpgradePhase if phase.final] + [AgentUpgradePhase.UNKNOWN]
_ended = st.builds(
    Ended, _ids, _from_1, st.sampled_from(_ends), st.none() | st.sampled_from(CauseKind)
)
_progress = st.builds(Progress, _counts, _counts)
_infos = st.builds(Info, _versions, _tokens, _tokens, _texts, _texts)
_checks = st.builds(Check, st.sampled_from(CheckName), st.sampled_from(CheckState), _texts)
_boot_times = st.builds(BootTime, _tokens, st.floats(allow_nan=False, allow_infinity=False))
_installed = st.builds(Installed, _versions, _digests)
_attempts = st.builds(
    Attempt,
    upgrade_id=st.none() | _ids,
    generation=_counts,
    stage=st.sampled_from(Stage),
    from_version=_versions,
    to_version=_versions,
    artifact=st.none() | _artifacts,
    target_sha256=st.none() | _digests,
    retry=st.booleans(),
    tries=_counts,
    starts=_counts,
    since=st.none() | _boot_times,
    cause=st.none() | _causes,
    deferred=st.none() | _ids,
)

MESSAGES: Final[Mapping[type, st.SearchStrategy[Any]]] = {
    Artifact: _artifacts,
    Cause: _causes,
    Ended: _ended,
    Progress: _progress,
    Info: _infos,
    BootTime: _boot_times,
    Installed: _installed,
    Attempt: _attempts,
    MarkerHead: st.builds(MarkerHead, _device_ids, _ids, _from_1),
    Marker: st.builds(
        Marker,
        _device_ids,
        _ids,
        _from_1,
        _versions,
        _artifacts,
        st.sampled_from(Desired),
        st.booleans(),
        _from_1,
    ),
    Status: st.builds(
        Status,
        _device_ids,
        _tokens,
        _counts,
        _counts,
        st.none() | _ids,
        st.none() | _versions,
        st.none() | _versions,
        st.none() | st.sampled_from(AgentUpgradePhase),
        _counts,
        st.none() | _causes,
        st.none() | _ids,
        st.lists(_ended, max_size=3).map(tuple),
        st.booleans(),
        _texts,
        _from_1,
    ),
    Heartbeat: st.builds(
        Heartbeat,
        _device_ids,
        _versions,
        st.sampled_from(Role),
        _tokens,
        _tokens,
        _from_1,
        st.integers(1, MAX_INTERVAL_MS),
        st.none() | _ids,
        st.none() | _progress,
        _texts,
        _from_1,
    ),
    Command: st.builds(Command, _device_ids, st.sampled_from(Verb), st.none() | _ids, _from_1),
    Answer: st.builds(
        Answer,
        _device_ids,
        st.sampled_from(Outcome),
        _texts,
        st.none() | _ended,
        st.none() | _infos,
        _from_1,
    ),
    Check: _checks,
    PreflightCommand: st.builds(
        PreflightCommand,
        _device_ids,
        _versions,
        _artifacts,
        _texts,
        _texts,
        st.sampled_from(Verb),
        _from_1,
    ),
    PreflightAnswer: st.builds(
        PreflightAnswer,
        _device_ids,
        st.sampled_from(Outcome),
        _texts,
        st.none() | _versions,
        st.lists(_checks, max_size=3).map(tuple),
        _from_1,
    ),
    Journal: st.builds(
        Journal,
        journal_id=_tokens,
        seq=_counts,
        highest=_counts,
        attempt=st.none() | _attempts,
        ended=st.lists(_ended, max_size=3).map(tuple),
        ended_complete=st.booleans(),
        lost=st.booleans(),
        quarantined=st.lists(_digests, max_size=3).map(tuple),
        installed=st.none() | _installed,
    ),
}
"""Every dataclass that is ever read from a wire or a disk, as our codec must read and write it."""

ANY_MESSAGE: Final = st.sampled_from(list(MESSAGES)).flatmap(MESSAGES.__getitem__)
