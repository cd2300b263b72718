"""The bytes of every message, pinned: what is deployed today must be read tomorrow.

`tests/golden/NAME.json` is what this version writes. `old_NAME.json` leaves out every field that
has a default, as a version before those fields would; `future_NAME.json` is what a newer version
might write. A golden file is never edited to make a test pass: devices in the field wrote it.
"""

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.wire_cases import (
    ARTIFACT,
    AT,
    CHECK,
    DIGEST,
    ENDED_WELL,
    GOLDEN,
    ID,
    INFO,
    OLDER_ID,
)

from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.commands import Answer, Command, Info, Outcome, Verb
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.preflight import (
    Check,
    CheckName,
    CheckState,
    PreflightAnswer,
    PreflightCommand,
)
from harmony_fleet.contracts.upgrade import (
    AgentUpgradePhase,
    Cause,
    CauseKind,
    Desired,
    Ended,
    Marker,
    Status,
)

FOLDER = Path(__file__).parents[1] / "golden"

OLD: dict[str, Any] = {
    "old_marker": Marker("pi-1", ID, 3, "2.0.0", ARTIFACT),
    "old_status": Status("pi-1", "journal-1", 17, 3),
    "old_heartbeat": Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 7, 30_000),
    "old_command": Command("pi-1", Verb.PING),
    "old_answer": Answer("pi-1", Outcome.OK),
    "old_preflight": PreflightCommand("pi-1", "2.0.0", ARTIFACT, AT),
    "old_preflight_answer": PreflightAnswer("pi-1", Outcome.OK),
    "old_ended": Ended(OLDER_ID, 2, AgentUpgradePhase.SUCCEEDED),
    "old_cause": Cause(CauseKind.DISK_FULL, "the disk is full"),
    "old_journal": Journal(
        "journal-1", attempt=Attempt(ID, 3, Stage.STAGING, from_version="1.0.0", to_version="2.0.0")
    ),
}

FUTURE: dict[str, Any] = {
    "future_marker": Marker(
        "pi-1", ID, 3, "2.0.0", ARTIFACT, Desired.UNKNOWN, retry=True, schema=2
    ),
    "future_status": Status(
        "pi-1",
        "journal-1",
        17,
        3,
        upgrade_id=ID,
        from_version="1.0.0",
        to_version="2.0.0",
        phase=AgentUpgradePhase.UNKNOWN,
        attempt=1,
        cause=Cause(CauseKind.UNKNOWN, "the moon was full"),
        ended=(Ended(OLDER_ID, 2, AgentUpgradePhase.UNKNOWN, CauseKind.UNKNOWN), ENDED_WELL),
        schema=7,
    ),
    "future_heartbeat": Heartbeat(
        "pi-1", "1.0.0", Role.UNKNOWN, "instance-1", "boot-1", 7, 30_000, schema=2
    ),
    "future_command": Command("pi-1", Verb.UNKNOWN, ID, schema=2),
    "future_answer": Answer("pi-1", Outcome.UNKNOWN, info=INFO, schema=2),
    "future_preflight": PreflightCommand("pi-1", "2.0.0", ARTIFACT, AT, ">=4.0", schema=2),
    "future_preflight_answer": PreflightAnswer(
        "pi-1",
        Outcome.OK,
        version="2.0.0",
        checks=(CHECK, Check(CheckName.UNKNOWN, CheckState.UNKNOWN, "the moon is full")),
        schema=2,
    ),
    "future_journal": Journal(
        "journal-1",
        seq=17,
        highest=3,
        attempt=Attempt(
            *(ID, 3, Stage.COMMITTED, "1.0.0", "2.0.0"),
            cause=Cause(CauseKind.UNKNOWN, "the moon was full"),
        ),
        quarantined=(DIGEST,),
        schema=2,
    ),
}


def golden(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_message_is_written_byte_for_byte_as_ever(name: str) -> None:
    assert encode(GOLDEN[name]) == golden(name)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_message_that_was_ever_written_is_read(name: str) -> None:
    assert decode(type(GOLDEN[name]), golden(name)) == GOLDEN[name]


@pytest.mark.parametrize("name", OLD)
def test_of_an_older_side_the_fields_that_it_did_not_know_take_their_defaults(name: str) -> None:
    assert decode(type(OLD[name]), golden(name)) == OLD[name]


@pytest.mark.parametrize("name", OLD)
def test_the_old_golden_files_leave_out_all_that_may_be_left_out(name: str) -> None:
    required = {
        field.name
        for field in fields(OLD[name])
        if field.default is MISSING and field.default_factory is MISSING
    }
    assert json.loads(golden(name)).keys() - {"attempt"} == required


@pytest.mark.parametrize("name", FUTURE)
def test_of_a_newer_side_unknown_fields_are_ignored_and_unknown_words_are_unknown(
    name: str,
) -> None:
    assert decode(type(FUTURE[name]), golden(name)) == FUTURE[name]


@pytest.mark.parametrize("name", FUTURE)
def test_the_future_golden_files_hold_a_field_that_is_not_known_today(name: str) -> None:
    known = {field.name for field in fields(FUTURE[name])}
    assert json.loads(golden(name)).keys() - known


def test_a_step_of_the_journal_that_is_not_known_is_not_guessed() -> None:
    """The journal decides what is done to the link: unknown words make it unreadable instead."""
    data = golden("journal").replace(b'"stage":"committed"', b'"stage":"levitating"')
    with pytest.raises(MalformedMessage, match="stage: 'levitating'"):
        decode(Journal, data)


def test_every_golden_file_is_read_by_a_test() -> None:
    found = {path.stem for path in FOLDER.glob("*.json")}
    assert found == GOLDEN.keys() | OLD.keys() | FUTURE.keys()


def test_every_field_of_every_message_is_set_in_some_golden_file() -> None:
    """Else a field could change its name, and no golden file would notice what it holds."""
    kinds = (Marker, Status, Heartbeat, Command, Answer, Info, Ended, Journal)
    for kind in (*kinds, PreflightCommand, PreflightAnswer, Check):
        unset = {field.name for field in fields(kind)} - {"schema"}
        if kind is PreflightCommand:
            unset -= {"verb"}  # which is never another
        for message in GOLDEN.values():
            if isinstance(message, kind):
                unset -= {f.name for f in fields(kind) if getattr(message, f.name) != f.default}
        assert not unset, kind


def test_every_word_of_an_enum_is_written_as_ever() -> None:
    words = [*AgentUpgradePhase, *CauseKind, *Desired, *Role, *Verb, *Outcome, *Stage]
    words += [*CheckName, *CheckState]
    written = [f"{type(word).__name__}.{word.name} {word.value}" for word in words]
    assert written == (FOLDER / "words.txt").read_text().splitlines()


def test_a_status_of_a_newer_schema_keeps_its_number() -> None:
    assert decode(Status, golden("future_status")).schema == 7
    assert replace(GOLDEN["status"], schema=7).schema == 7
