"""The journal's record: what it remembers, and that it reads what any version of us wrote."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.journal import MAX_BYTES, MAX_SEQ
from harmony_fleet.agent.upgrade.record import (
    QUARANTINED_KEPT,
    Attempt,
    Installed,
    Journal,
    Stage,
    advance,
    after_loss,
    begin,
    count,
    end,
    fresh,
    journal_lost,
    note,
    quarantined,
    refuse,
    status_of,
)
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    MAX_EVIDENCE,
    MAX_SENTENCE,
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
    Ended,
    Marker,
    cause,
)
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES
from harmony_fleet.testing.upgrade_samples import (
    ARTIFACT,
    BAD_ARTIFACT,
    GENERATION,
    ID,
    IDLE,
    LOST,
    NEW,
    NOW,
    OLD,
    OLD_SHA256,
    OTHER_ID,
    WHY,
    journal_in,
    marker,
)

HEX = "0123456789abcdef"
IDS = st.text(HEX, min_size=32, max_size=32)
DIGESTS = st.text(HEX, min_size=64, max_size=64)
VERSIONS = st.sampled_from([OLD, NEW, "2.0.0-rc.1"])
COUNTS = st.integers(0, 2**53)
TEXTS = st.text(max_size=40)
CAUSES = st.builds(Cause, st.sampled_from(CauseKind), TEXTS, TEXTS)
ARTIFACTS = st.builds(Artifact, st.just("http://h/a"), st.integers(1, 2**53), DIGESTS)
BOOT_TIMES = st.builds(BootTime, st.just("boot-1"), st.floats(0, 1e9))
ENDED_PHASES = st.sampled_from([phase for phase in AgentUpgradePhase if phase.final])
ENDED = st.builds(Ended, IDS, st.integers(1, 2**53), ENDED_PHASES, st.none())
ATTEMPTS = st.builds(
    Attempt,
    upgrade_id=st.none() | IDS,
    generation=COUNTS,
    stage=st.sampled_from(Stage),
    from_version=VERSIONS,
    to_version=VERSIONS,
    artifact=st.none() | ARTIFACTS,
    target_sha256=st.none() | DIGESTS,
    retry=st.booleans(),
    tries=st.integers(1, 9),
    starts=st.integers(0, 9),
    since=st.none() | BOOT_TIMES,
    cause=st.none() | CAUSES,
    deferred=st.none() | IDS,
)
JOURNALS = st.builds(
    Journal,
    journal_id=st.just("journal-1"),
    seq=st.integers(0, MAX_SEQ),
    highest=COUNTS,
    attempt=st.none() | ATTEMPTS,
    ended=st.lists(ENDED, max_size=ENDED_KEPT).map(tuple),
    ended_complete=st.booleans(),
    lost=st.booleans(),
    quarantined=st.lists(DIGESTS, max_size=QUARANTINED_KEPT).map(tuple),
    installed=st.none() | st.builds(Installed, VERSIONS, DIGESTS),
)

# On the disk


@settings(max_examples=40)
@given(JOURNALS)
def test_a_journal_is_read_as_it_was_written(journal: Journal) -> None:
    assert decode(Journal, encode(journal), MAX_BYTES) == journal


@settings(max_examples=40)
@given(JOURNALS)
def test_the_version_before_reads_what_a_newer_one_added_and_ignores_it(journal: Journal) -> None:
    written = json.loads(encode(journal))
    written |= {"schema": 2, "a_field_of_the_future": [1]}
    if written["attempt"]:
        written["attempt"]["another"] = {"deep": None}
    read = decode(Journal, json.dumps(written).encode(), MAX_BYTES)
    assert read == replace(journal, schema=2)


def test_a_journal_of_the_first_version_is_read_with_the_defaults_of_what_came_later() -> None:
    assert decode(Journal, b'{"journal_id": "journal-1"}') == fresh("journal-1")


ENDED_ONCE = {"upgrade_id": ID, "generation": 1, "phase": "Failed"}


@pytest.mark.parametrize(
    "bad",
    [
        {"journal_id": ""},
        {"journal_id": "journal-1", "seq": -1},
        {"journal_id": "journal-1", "highest": -1},
        {"journal_id": "journal-1", "ended": [ENDED_ONCE] * (ENDED_KEPT + 1)},
        {"journal_id": "journal-1", "installed": {"version": "../x", "sha256": "0" * 64}},
        {"journal_id": "journal-1", "installed": {"version": OLD, "sha256": "0"}},
    ],
)
def test_what_could_not_be_a_journal_is_refused_as_it_is_read(bad: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"not a Journal"):
        decode(Journal, json.dumps(bad).encode())


@pytest.mark.parametrize(("version", "generation"), [("../../etc", 1), (OLD, -1)])
def test_an_attempt_names_versions_that_cannot_leave_their_folder(
    version: str, generation: int
) -> None:
    with pytest.raises(InvalidValue):
        Attempt(ID, generation, Stage.STAGING, version, NEW)
    with pytest.raises(InvalidValue):
        Attempt(ID, generation, Stage.STAGING, OLD, version)


def test_a_boot_time_names_its_boot() -> None:
    with pytest.raises(InvalidValue):
        BootTime("", 1.0)


def test_the_fullest_journal_fits_its_file_and_its_status_fits_one_message() -> None:
    longest = Cause(CauseKind.CANDIDATE_START_FAILED, "😀" * MAX_SENTENCE, "😀" * MAX_EVIDENCE)
    url = "http://h/" + "a" * 2039
    version = "1.2.3-" + "x" * 57
    attempt = Attempt(
        ID,
        2**53,
        Stage.REVERTING,
        version,
        version,
        Artifact(url, 2**53, "f" * 64),
        "f" * 64,
        since=BootTime("b" * 64, 1e9),
        cause=longest,
        deferred=OTHER_ID,
    )
    ended = Ended(ID, 2**53, AgentUpgradePhase.NEVER_STARTED, CauseKind.ROLLBACK_TARGET_DAMAGED)
    journal = Journal(
        "j" * 64,
        2**53,
        2**53,
        attempt,
        (ended,) * ENDED_KEPT,
        quarantined=("f" * 64,) * QUARANTINED_KEPT,
        installed=Installed(version, "f" * 64),
    )
    assert len(encode(journal)) <= MAX_BYTES
    status = status_of(journal, "d" * 63, "2026-01-01T00:00:00.000000Z")
    assert len(encode(status)) <= MAX_MESSAGE_BYTES


# Its changes


def test_an_order_that_is_taken_up_begins_at_its_first_try() -> None:
    journal = begin(IDLE, marker(retry=True), OLD)
    assert (journal.seq, journal.highest) == (IDLE.seq + 1, GENERATION)
    assert journal.attempt == Attempt(
        ID, GENERATION, Stage.STAGING, OLD, NEW, ARTIFACT, OLD_SHA256, retry=True
    )


def test_the_digest_of_another_version_that_proved_itself_is_not_the_rollback_targets() -> None:
    journal = begin(IDLE, marker(), running="2.0.0")
    assert journal.attempt is not None
    assert journal.attempt.target_sha256 is None


def test_a_new_order_makes_good_for_a_loss_but_the_list_stays_incomplete() -> None:
    journal = begin(replace(IDLE, lost=True, ended_complete=False), marker(), OLD)
    assert (journal.lost, journal.ended_complete) == (False, False)


def test_an_advance_and_a_note_are_new_statements_and_a_count_is_none() -> None:
    journal = journal_in(Stage.COMMITTED)
    assert advance(journal, Stage.REVERTING).seq == journal.seq + 1
    assert note(journal, deferred=OTHER_ID).seq == journal.seq + 1
    counted = count(journal, 3, NOW)
    assert counted.seq == journal.seq
    assert counted == journal_in(Stage.COMMITTED, starts=3, since=NOW)


def test_nothing_can_advance_where_there_is_no_attempt() -> None:
    with pytest.raises(ValueError, match="no attempt"):
        advance(fresh("journal-1"), Stage.VERIFYING)


@pytest.mark.parametrize("stage", [stage for stage in Stage if not stage.open])
def test_an_end_is_remembered_among_the_ended_and_stays_the_last_attempt(stage: Stage) -> None:
    journal = end(journal_in(Stage.VERIFYING, deferred=OTHER_ID), stage, WHY)
    assert journal.open_attempt is None
    assert journal.attempt is not None
    assert (journal.attempt.stage, journal.attempt.cause) == (stage, WHY)
    assert journal.attempt.deferred is None
    verdict = journal.verdict_on(ID)
    assert verdict is not None
    assert (verdict.generation, verdict.cause) == (GENERATION, WHY.kind)
    assert journal.verdict_on(OTHER_ID) is None


def test_only_the_last_32_ends_are_kept() -> None:
    journal = IDLE
    for number in range(ENDED_KEPT + 3):
        order = Attempt(f"{number:032x}", 100 + number, Stage.STAGING, OLD, NEW)
        journal = refuse(journal, order, Stage.FAILED, WHY)
    assert len(journal.ended) == ENDED_KEPT
    assert journal.ended[0].upgrade_id == f"{3:032x}"
    assert journal.highest == 100 + ENDED_KEPT + 2


def test_only_the_last_32_quarantined_digests_are_kept_each_once() -> None:
    journal = IDLE
    for number in (*range(QUARANTINED_KEPT + 1), 5):
        artifact = replace(ARTIFACT, sha256=f"{number:064x}")
        begun = begin(journal, marker(artifact=artifact), OLD)
        journal = end(begun, Stage.FAILED, cause(CauseKind.SELF_TEST_FAILED, "it failed"))
    assert len(journal.quarantined) == QUARANTINED_KEPT
    assert journal.quarantined[-1] == f"{5:064x}"
    assert len(set(journal.quarantined)) == QUARANTINED_KEPT


def test_an_order_for_what_runs_already_teaches_no_digest() -> None:
    order = Attempt(ID, GENERATION, Stage.STAGING, OLD, OLD)
    why = cause(CauseKind.ALREADY_RUNNING, "it runs")
    assert refuse(IDLE, order, Stage.SUCCEEDED, why).installed == IDLE.installed


@pytest.mark.parametrize(("retry", "held"), [(False, True), (True, False)])
def test_a_quarantined_digest_is_held_back_unless_someone_says_retry(
    retry: bool, held: bool
) -> None:
    assert quarantined(IDLE, marker(artifact=BAD_ARTIFACT, retry=retry)) is held
    assert not quarantined(IDLE, marker())


# After a loss


@pytest.mark.parametrize(("link", "previous"), [(OLD, OLD), (NEW, None), (None, OLD), (None, None)])
def test_a_loss_with_nothing_to_go_back_to_leaves_nothing_under_way(
    link: str | None, previous: str | None
) -> None:
    journal = after_loss("journal-9", link, previous)
    assert journal == Journal("journal-9", ended_complete=False, lost=True)


def test_a_loss_with_the_link_on_another_version_is_taken_for_a_commit_without_an_id() -> None:
    attempt = Attempt(None, 0, Stage.COMMITTED, OLD, NEW)
    expected = Journal("journal-9", attempt=attempt, ended_complete=False, lost=True)
    assert after_loss("journal-9", link=NEW, previous=OLD) == expected


def test_the_end_of_an_upgrade_without_an_id_is_no_verdict() -> None:
    journal = end(LOST, Stage.ROLLED_BACK, WHY)
    assert journal.ended == ()
    assert journal.quarantined == ()
    assert journal_lost(7).kind is CauseKind.JOURNAL_LOST


# The status


def test_a_status_says_what_the_journal_holds_and_nothing_else() -> None:
    journal = journal_in(Stage.COMMITTED, tries=2, deferred=OTHER_ID)
    status = status_of(journal, "pi-1", "2026-01-01T00:00:00Z")
    assert (status.device_id, status.journal_id, status.seq) == ("pi-1", "journal-1", journal.seq)
    assert (status.upgrade_id, status.generation) == (ID, GENERATION)
    assert (status.from_version, status.to_version, status.attempt) == (OLD, NEW, 2)
    assert (status.phase, status.deferred) == (AgentUpgradePhase.COMMITTED, OTHER_ID)
    assert (status.ended, status.sent_at) == (journal.ended, "2026-01-01T00:00:00Z")


def test_a_status_before_the_first_order_has_no_phase() -> None:
    status = status_of(fresh("journal-1"), "pi-1")
    assert (status.phase, status.upgrade_id, status.generation) == (None, None, 0)


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_a_phase(stage: Stage) -> None:
    phase = status_of(journal_in(stage), "pi-1").phase
    assert phase is not None
    assert phase.final is not stage.open


@settings(max_examples=40)
@given(JOURNALS, st.sampled_from(Desired))
def test_any_journal_can_be_said_and_any_newer_order_begun(
    journal: Journal, desired: Desired
) -> None:
    status_of(journal, "pi-1")
    newer = Marker("pi-1", OTHER_ID, 2**53, NEW, ARTIFACT, desired)
    assert begin(journal, newer, OLD).highest == 2**53
