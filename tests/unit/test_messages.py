"""What each message refuses to hold, what it fits into, and what its enums mean."""

import json
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire_cases import CAUSE, CHECK, ENDED_ONE, GOLDEN, ID, INFO, MOST_ENDED

from harmony_fleet.contracts import subjects
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.commands import Outcome, Verb
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.heartbeat import MAX_INTERVAL_MS, Heartbeat, Progress, Role
from harmony_fleet.contracts.identity import MAX_COUNT, MAX_URL_LENGTH
from harmony_fleet.contracts.preflight import MAX_CHECKS, MAX_DETAIL, CheckName, CheckState
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    MAX_EVIDENCE,
    MAX_SENTENCE,
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
    Marker,
    MarkerHead,
    Status,
    cause,
    clip,
)
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES

FOUR_BYTES = "\U0001f600"
COUNTING = {
    *("self_test_failed", "self_test_timeout", "candidate_start_failed", "candidate_died"),
    *("candidate_silent", "crash_loop", "probation_expired", "no_contact"),
}
FINAL = {"Succeeded", "Failed", "RolledBack", "Unresolved", "NeverStarted"}


@pytest.mark.parametrize("kind", CauseKind)
def test_the_causes_that_count_against_a_release_are_those_of_the_design(kind: CauseKind) -> None:
    assert kind.counts_against_release == (kind.value in COUNTING)


@pytest.mark.parametrize("phase", AgentUpgradePhase)
def test_the_phases_that_end_an_upgrade_are_those_of_the_design(phase: AgentUpgradePhase) -> None:
    assert phase.final == (phase.value in FINAL)


WORDS = [Desired, AgentUpgradePhase, CauseKind, Role, Verb, Outcome, CheckName, CheckState]


@pytest.mark.parametrize("kind", WORDS)
def test_a_word_of_a_newer_side_is_unknown_and_what_is_no_word_is_refused(kind: Any) -> None:
    assert kind("something newer") is kind.UNKNOWN
    assert kind("") is kind.UNKNOWN
    with pytest.raises(ValueError, match="7"):
        kind(7)


WRONG: dict[str, list[Any]] = {
    "device_id": ["", "*", "A", "a.b", "a" * 64],
    "upgrade_id": ["", "a", ID.upper(), ID + "0"],
    "deferred": ["", "a", ID.upper()],
    "journal_id": ["", "a b", "a" * 65],
    "instance_id": ["", "a.b"],
    "boot_id": ["", "a/b"],
    "version": ["", "1", "1.0.0+b", "../1.0.0"],
    "agent_version": ["", "1.0.0\n"],
    "from_version": ["", "1.0"],
    "to_version": ["", "v1.0.0"],
    "generation": [-1, MAX_COUNT + 1],
    "seq": [-1, MAX_COUNT + 1],
    "attempt": [-1, MAX_COUNT + 1],
    "beat": [0, -1, MAX_COUNT + 1],
    "interval_ms": [0, -1, MAX_INTERVAL_MS + 1],
    "done_bytes": [-1],
    "total_bytes": [-1],
    "size_bytes": [0, -1, MAX_COUNT + 1],
    "url": ["", "file:///etc/passwd", "http://user:word@h/", "http://h/" + "a" * MAX_URL_LENGTH],
    "sha256": ["", "a" * 63, "A" * 64],
    "schema": [0, -1, MAX_COUNT + 1],
    "sentence": ["a" * (MAX_SENTENCE + 1)],
    "evidence": ["a" * (MAX_EVIDENCE + 1)],
    "reason": ["a" * 401],
    "sent_at": ["a" * 41],
    "python": ["a" * 41],
    "platform": ["a" * 81],
    "ended": [(*MOST_ENDED, ENDED_ONE)],
    "asked_at": ["a" * 41],
    "detail": ["a" * (MAX_DETAIL + 1)],
    "checks": [(CHECK,) * (MAX_CHECKS + 1)],
}
HOLDERS = {
    *(GOLDEN[name] for name in ("marker", "status", "heartbeat", "command_upgrade_stop")),
    *(GOLDEN["answer_refused"], INFO, ENDED_ONE, CAUSE, GOLDEN["marker"].artifact),
    *(MarkerHead("pi-1", ID, 1), Progress(1, 2)),
    *(GOLDEN["preflight"], GOLDEN["preflight_answer"], CHECK),
}
FREE = {
    *("artifact", "cause", "progress", "info", "desired", "phase", "role", "verb", "outcome"),
    *("kind", "retry", "ended_complete", "name", "state"),
}
"""Fields that their type alone guards."""


def wrong_values() -> list[Any]:
    found = []
    for holder in sorted(HOLDERS, key=lambda one: type(one).__name__):
        for field in fields(holder):
            if (type(holder).__name__, field.name) == ("Answer", "ended"):
                continue
            for value in WRONG.get(field.name, ()):
                name = f"{type(holder).__name__}.{field.name}-{str(value)[:12]!r}"
                found.append(pytest.param(holder, field.name, value, id=name))
    return found


@pytest.mark.parametrize(("holder", "field", "value"), wrong_values())
def test_a_message_cannot_be_made_with_a_value_that_its_field_refuses(
    holder: Any, field: str, value: object
) -> None:
    with pytest.raises(InvalidValue):
        replace(holder, **{field: value})


def test_every_field_of_a_message_is_checked_or_guarded_by_its_type() -> None:
    names = {field.name for holder in HOLDERS for field in fields(holder)}
    assert names - WRONG.keys() - FREE == set()


@pytest.mark.parametrize("holder", sorted(HOLDERS, key=str), ids=lambda one: type(one).__name__)
def test_no_message_can_be_changed(holder: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(holder, fields(holder)[0].name, "changed")


@pytest.mark.parametrize("phase", AgentUpgradePhase)
def test_a_verdict_is_the_end_of_an_upgrade_or_one_that_a_newer_side_knows(
    phase: AgentUpgradePhase,
) -> None:
    if phase.final or phase is AgentUpgradePhase.UNKNOWN:
        assert replace(ENDED_ONE, phase=phase).phase is phase
    else:
        with pytest.raises(InvalidValue, match="not the end"):
            replace(ENDED_ONE, phase=phase)


def test_a_generation_counts_from_1_but_a_device_without_an_order_has_seen_none() -> None:
    assert GOLDEN["status_first"].generation == 0
    for message in (GOLDEN["marker"], ENDED_ONE, MarkerHead("pi-1", ID, 1)):
        with pytest.raises(InvalidValue, match="generation"):
            replace(message, generation=0)


def test_the_head_of_a_marker_is_readable_however_new_the_rest_is() -> None:
    newer = json.loads(encode(GOLDEN["marker"])) | {"artifact": ["of", "another", "shape"]}
    head = decode(MarkerHead, json.dumps(newer).encode())
    assert head == MarkerHead("pi-1", ID, 3)


# Limits


def largest_status(text: str) -> Status:
    return Status(
        device_id="a" * 63,
        journal_id="j" * 64,
        seq=MAX_COUNT,
        generation=MAX_COUNT,
        upgrade_id=ID,
        from_version="1.0.0-" + "a" * 57,
        to_version="1.0.0-" + "b" * 57,
        phase=AgentUpgradePhase.CUTOVER_READY,
        attempt=MAX_COUNT,
        cause=cause(CauseKind.ROLLBACK_TARGET_DAMAGED, text * 500, text * 2000),
        deferred=ID,
        ended=MOST_ENDED,
        ended_complete=False,
        sent_at="2026-01-01T00:00:00.000000+00:00",
    )


@pytest.mark.parametrize("text", [FOUR_BYTES, '"', "\\", "\n", "\x01", "\x7f", "\ud800", "a", "ü"])
def test_the_largest_status_that_a_device_can_say_fits_into_one_message(text: str) -> None:
    status = largest_status(text)
    written = encode(status)
    assert len(written) <= MAX_MESSAGE_BYTES
    assert decode(Status, written) == status


@given(st.text(min_size=1, max_size=5))
def test_whatever_a_program_prints_fits_into_a_status(text: str) -> None:
    assert len(encode(largest_status(text))) <= MAX_MESSAGE_BYTES


def test_the_largest_marker_heartbeat_and_answer_fit_into_one_message() -> None:
    url = "http://h/" + '"' * (MAX_URL_LENGTH - 9)
    artifact = Artifact(url, MAX_COUNT, "a" * 64)
    marker = Marker("a" * 63, ID, MAX_COUNT, "1.0.0-" + "a" * 57, artifact, Desired.ABORT, True)
    info = replace(INFO, python="\x01" * 40, platform="\x01" * 80)
    answer = replace(GOLDEN["answer_ended"], reason="\x01" * 400, info=info)
    heartbeat = replace(GOLDEN["heartbeat"], sent_at="\x01" * 40)
    for message in (marker, answer, heartbeat):
        assert len(encode(message)) <= MAX_MESSAGE_BYTES


@given(st.text(), st.integers(1, 50))
def test_clipped_text_fits_is_printable_and_is_the_end_of_what_was_said(
    text: str, limit: int
) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert all(c.isprintable() or c == "\n" for c in clipped)
    assert clip(clipped, limit) in {clipped, clipped.strip()}
    kept = clipped.removeprefix("…")
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    assert plain.endswith(kept)


def test_short_text_is_kept_as_it_is_and_long_text_keeps_its_end() -> None:
    assert clip("line 1\nline 2", 20) == "line 1\nline 2"
    assert clip("0123456789", 10) == "0123456789"
    assert clip("0123456789a", 10) == "…23456789a"
    assert clip("0123456789a", 1) == "…"
    assert clip("  \x1b[31mred\x1b[0m\t\n", 20) == "[31mred [0m"


@given(st.text(), st.text())
def test_a_cause_can_be_made_of_any_words(sentence: str, evidence: str) -> None:
    made = cause(CauseKind.CRASH_LOOP, sentence * 9, evidence * 99)
    assert decode(Cause, encode(made)) == made


def test_a_device_names_at_most_32_ended_upgrades() -> None:
    assert len(MOST_ENDED) == ENDED_KEPT == 32
    assert replace(GOLDEN["status"], ended=MOST_ENDED).ended == MOST_ENDED


# The reference


def test_the_reference_is_what_the_contracts_say_and_documents_every_field() -> None:
    script = Path(__file__).parents[2] / "docs" / "reference.py"
    ran = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = [row.split(" | ") for row in script.with_name("messages.md").read_text().splitlines()]
    assert not [row for row in rows if len(row) == 4 and not row[3].strip("| ")]


def test_a_reference_that_differs_is_named_in_a_sentence(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    shutil.copytree(root / "src", tmp_path / "src")
    shutil.copytree(root / "docs", tmp_path / "docs")
    page = tmp_path / "docs" / "messages.md"
    page.write_text(page.read_text() + "by hand")
    check = [sys.executable, str(tmp_path / "docs" / "reference.py"), "--check"]
    ran = subprocess.run(check, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("docs/messages.md differs from the co")


# Subjects


def test_the_subjects_of_a_device_are_those_of_its_permissions() -> None:
    assert subjects.marker_key("pi-1") == "$KV.agent-upgrade.pi-1"
    assert subjects.status_key("pi-1") == "$KV.agent-upgrade-status.pi-1"
    assert subjects.heartbeat_name("pi-1", Role.CANDIDATE) == "pi-1.candidate"
    assert subjects.heartbeat_key("pi-1", Role.PRIMARY) == "$KV.device-heartbeat.pi-1.primary"
    assert subjects.order_wake("pi-1") == "fleet.order.pi-1"
    assert subjects.command("pi-1") == "device-cmd.pi-1"
    assert subjects.answer_prefix("pi-1") == "fleet.answer.pi-1."
    assert subjects.inbox_prefix("pi-1") == "_INBOX_pi-1"
    direct = "$JS.API.DIRECT.GET.KV_agent-upgrade.$KV.agent-upgrade.pi-1"
    assert subjects.direct_get("agent-upgrade", "pi-1") == direct


@pytest.mark.parametrize("device_id", ["*", ">", "a.b", "", "pi-1 ", "A"])
@pytest.mark.parametrize(
    "subject",
    [
        *(subjects.marker_key, subjects.status_key, subjects.order_wake, subjects.command),
        *(subjects.answer_prefix, subjects.inbox_prefix),
        lambda device_id: subjects.heartbeat_key(device_id, Role.PRIMARY),
    ],
)
def test_no_subject_is_made_of_what_is_no_device_id(subject: Any, device_id: str) -> None:
    with pytest.raises(InvalidValue):
        subject(device_id)


def test_a_heartbeat_counts_from_1_and_says_when_the_next_one_is_due() -> None:
    beat = decode(Heartbeat, encode(GOLDEN["heartbeat"]))
    assert (beat.beat, beat.interval_ms) == (7, 30_000)
