from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harmony_fleet.asset.errors import (
    AssetMissing,
    AttemptsExhausted,
    DeadlinePassed,
    DigestMismatch,
    DownloadStalled,
    RequestRefused,
    SizeMismatch,
)
from harmony_fleet.asset.policy import (
    Answered,
    Attempt,
    Distrusted,
    Expected,
    GiveUp,
    Interrupted,
    Land,
    Limits,
    Next,
    Outcome,
    Past,
    RangeRefused,
    Resume,
    StartOver,
    Verified,
    decide,
)

LIMITS = Limits()
LOST = Interrupted("the cable was pulled")
WRONG = DigestMismatch("not the asset")
SPOILED = Distrusted(WRONG, spoiled=True)

OUTCOMES = st.one_of(
    st.just(Verified()),
    st.just(LOST),
    st.builds(Answered, st.integers(100, 599), st.none() | st.floats(0, 1e6)),
    st.just(RangeRefused("no ranges here")),
    st.builds(Distrusted, st.sampled_from([WRONG, SizeMismatch("too long")]), st.booleans()),
)
ATTEMPTS = st.builds(Attempt, OUTCOMES, st.integers(0, 2**53), st.floats(0, 1e5), st.floats(0, 1e5))
PASTS = st.builds(
    Past, st.integers(0, 2**53), st.integers(0, 10**6), st.floats(0, 1e5), st.booleans()
)


def after(outcome: Outcome, past: Past = Past(), *, held: int = 0, jitter: float = 1.0) -> Next:  # noqa: B008 - frozen
    return decide(past, Attempt(outcome, held, 0.0, 0.0), LIMITS, jitter)[1]


@given(PASTS, ATTEMPTS, st.floats(0, 1))
def test_only_a_verified_file_lands(past: Past, attempt: Attempt, jitter: float) -> None:
    _, following = decide(past, attempt, LIMITS, jitter)
    assert (following == Land()) == (attempt.outcome == Verified())


@given(PASTS, ATTEMPTS, st.floats(0, 1))
def test_no_wait_is_negative_or_longer_than_the_longest(
    past: Past, attempt: Attempt, jitter: float
) -> None:
    _, following = decide(past, attempt, LIMITS, jitter)
    if isinstance(following, Resume | StartOver):
        assert 0 <= following.after_s <= max(LIMITS.retry_after_max_s, LIMITS.backoff_max_s)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 5)), min_size=120, max_size=120))
def test_a_download_of_five_bytes_ends_whatever_happens(
    attempts: list[tuple[Outcome, int]],
) -> None:
    """Even where no time passes: each of the two times over, each byte is new only once."""
    past = Past()
    for number, (outcome, held) in enumerate(attempts):
        past, following = decide(past, Attempt(outcome, held, 0.0, 0.0), LIMITS, 0.5)
        if isinstance(following, Land | GiveUp):
            assert number < 2 * (5 + 1) * LIMITS.attempts
            return
    pytest.fail("still not ended")


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_not_there_is_given_up_at_once(status: int) -> None:
    following = after(Answered(status))
    assert isinstance(following, GiveUp)
    assert isinstance(following.error, AssetMissing)


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 407, 416, 451, 499])
def test_other_refusals_are_given_up_at_once(status: int) -> None:
    following = after(Answered(status))
    assert isinstance(following, GiveUp)
    assert isinstance(following.error, RequestRefused)


@pytest.mark.parametrize("status", [202, 204, 408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_from_where_the_partial_ends(status: int) -> None:
    assert after(Answered(status)) == Resume(0.5)


def test_the_wait_doubles_up_to_its_longest() -> None:
    waits = [after(LOST, Past(fruitless=n)) for n in range(9)]
    assert waits == [Resume(s) for s in (0.5, 1, 2, 4, 8, 16, 30, 30, 30)]


@given(st.floats(0, 1))
def test_jitter_takes_up_to_half_of_the_wait(jitter: float) -> None:
    following = after(LOST, Past(fruitless=3), jitter=jitter)
    assert isinstance(following, Resume)
    assert 2 <= following.after_s <= 4


def test_the_server_may_ask_for_a_longer_wait_but_not_for_any() -> None:
    assert after(Answered(429, 42.0)) == Resume(42.0)
    assert after(Answered(503, 1e9)) == Resume(LIMITS.retry_after_max_s)


def test_the_server_may_not_ask_for_a_shorter_wait() -> None:
    assert after(Answered(503, 0.0), Past(fruitless=3)) == Resume(4.0)


def test_attempts_without_a_new_byte_are_counted_to_the_last() -> None:
    assert after(LOST, Past(fruitless=LIMITS.attempts - 2)) == Resume(30.0)
    following = after(LOST, Past(fruitless=LIMITS.attempts - 1))
    assert isinstance(following, GiveUp)
    assert isinstance(following.error, AttemptsExhausted)


def test_a_new_byte_forgets_the_attempts_and_the_silence() -> None:
    past = Past(best_bytes=10, fruitless=9, silent_s=59.0)
    now, following = decide(past, Attempt(LOST, 11, 1.5, 100.0), LIMITS, 1.0)
    assert now == Past(best_bytes=11, fruitless=0, silent_s=1.5)
    assert following == Resume(0.5)


def test_a_byte_that_was_here_before_is_not_new() -> None:
    """A server without ranges that always breaks off at byte 10 would go on for ever."""
    now, _ = decide(Past(best_bytes=10), Attempt(LOST, 10, 0.0, 0.0), LIMITS, 1.0)
    assert now.fruitless == 1


def test_silence_adds_up_over_attempts() -> None:
    now, following = decide(Past(silent_s=20.0), Attempt(LOST, 0, 20.0, 40.0), LIMITS, 1.0)
    assert following == Resume(0.5)
    _, following = decide(now, Attempt(LOST, 0, 20.0, 60.0), LIMITS, 1.0)
    assert isinstance(following, GiveUp)
    assert isinstance(following.error, DownloadStalled)


def test_a_wait_that_would_end_after_the_deadline_is_not_begun() -> None:
    attempt = Attempt(Answered(503, 100.0), 7, 0.0, LIMITS.overall_s - 100.0)
    _, following = decide(Past(), attempt, LIMITS, 1.0)
    assert isinstance(following, GiveUp)
    assert isinstance(following.error, DeadlinePassed)


def test_a_server_that_does_not_resume_is_asked_for_all() -> None:
    assert after(RangeRefused("416"), held=100) == StartOver(0.5)


def test_wrong_content_is_downloaded_afresh_once_with_a_full_count_of_attempts() -> None:
    past = Past(best_bytes=10, fruitless=9)
    now, following = decide(past, Attempt(SPOILED, 10, 0.0, 0.0), LIMITS, 1.0)
    assert following == StartOver(0.5)
    assert now == Past(forgiven=True)
    assert after(SPOILED, now, held=10) == GiveUp(WRONG, spoiled=True)


def test_a_wrong_size_announced_leaves_the_partial_alone() -> None:
    """As where a hotel's login page answers for the server."""
    refused = Distrusted(SizeMismatch("700 bytes"), spoiled=False)
    now, following = decide(Past(best_bytes=10), Attempt(refused, 10, 0.0, 0.0), LIMITS, 1.0)
    assert following == Resume(0.5)
    assert now == Past(best_bytes=10, forgiven=True)
    assert after(refused, now, held=10) == GiveUp(refused.error, spoiled=False)


def test_an_exact_size_allows_no_other() -> None:
    expected = Expected(10, "0" * 64)
    assert [expected.allows_total(n) for n in (9, 10, 11)] == [False, True, False]
    assert [expected.is_whole(n, None) for n in (9, 10)] == [False, True]


def test_a_bound_on_the_size_allows_all_below_and_believes_the_server_about_the_end() -> None:
    bound = replace(Expected(10, "0" * 64), size_is_limit=True)
    assert [bound.allows_total(n) for n in (9, 10, 11)] == [True, True, False]
    assert [bound.is_whole(9, total) for total in (None, 9, 10)] == [True, True, False]
