"""The preflight's question and answer on the wire, and what all checks together mean."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire_cases import CHECK, GOLDEN

from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.commands import Answer, Command, Outcome, Verb
from harmony_fleet.contracts.identity import MAX_COUNT, MAX_URL_LENGTH
from harmony_fleet.contracts.preflight import (
    MAX_CHECKS,
    MAX_DETAIL,
    CheckName,
    CheckState,
    PreflightAnswer,
    check,
    verdict,
)
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES

OK, WARNING, FAILED, UNKNOWN = (
    CheckState.OK,
    CheckState.WARNING,
    CheckState.FAILED,
    CheckState.UNKNOWN,
)


def test_the_question_reads_as_a_command_of_its_verb() -> None:
    command = decode(Command, encode(GOLDEN["preflight"]))
    assert command == Command("pi-1", Verb.PREFLIGHT)


def test_the_refusal_of_an_agent_that_does_not_know_the_verb_reads_as_an_answer() -> None:
    refusal = Answer("pi-1", Outcome.REFUSED, "this version of the agent does not know that verb")
    read = decode(PreflightAnswer, encode(refusal))
    assert read == PreflightAnswer("pi-1", Outcome.REFUSED, refusal.reason)


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([OK, OK], OK),
        ([OK, WARNING], WARNING),
        ([WARNING, UNKNOWN, OK], UNKNOWN),
        ([UNKNOWN, FAILED, WARNING], FAILED),
        ([], UNKNOWN),
    ],
)
def test_the_verdict_is_the_worst_of_all_checks_and_none_is_no_yes(
    states: list[CheckState], worst: CheckState
) -> None:
    assert verdict(replace(CHECK, state=state) for state in states) is worst


@given(st.text())
def test_a_check_can_be_made_of_any_words_and_keeps_their_beginning(words: str) -> None:
    made = check(CheckName.CLOCK, OK, words)
    assert made.detail.isprintable()
    assert len(made.detail) <= MAX_DETAIL
    assert encode(made)


def test_a_long_sentence_is_cut_where_one_sees_it() -> None:
    assert check(CheckName.CLOCK, OK, "a" * MAX_DETAIL).detail == "a" * MAX_DETAIL
    cut = check(CheckName.CLOCK, OK, "a" * (MAX_DETAIL + 1)).detail
    assert (len(cut), cut[-1]) == (MAX_DETAIL, "…")
    assert check(CheckName.CLOCK, OK, "\x1b[2Ja\nb").detail == "[2Ja b"


@given(st.sampled_from(["\U0001f600", '"', "\\", "ü", "\x01"]))
def test_the_largest_question_and_answer_fit_into_one_message(text: str) -> None:
    most = check(CheckName.SERVICE_MANAGER, WARNING, text * MAX_DETAIL)
    version = "1.0.0-" + "a" * 57
    answer = PreflightAnswer(
        "a" * 63, Outcome.REFUSED, "\U0001f600" * 400, version, (most,) * MAX_CHECKS, MAX_COUNT
    )
    artifact = Artifact("http://h/" + '"' * (MAX_URL_LENGTH - 9), MAX_COUNT, "a" * 64)
    asked = replace(GOLDEN["preflight"], artifact=artifact, python="\x01" * 40, asked_at=text * 40)
    for message in (answer, asked):
        assert len(encode(message)) <= MAX_MESSAGE_BYTES
