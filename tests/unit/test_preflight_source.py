"""The artifact's server, as a preflight judges its answer."""

import pytest

from harmony_fleet.agent.preflight.source import judge_server
from harmony_fleet.asset.answer import Begins, Meaning
from harmony_fleet.asset.errors import SizeMismatch
from harmony_fleet.asset.policy import Answered, Distrusted, Interrupted, RangeRefused
from harmony_fleet.contracts.preflight import MAX_DETAIL, CheckName, CheckState

URL = "https://fleet.example/a"

SIZE = SizeMismatch("the server has 7 bytes, 100 were announced")
NOT_SERVED: list[tuple[Meaning | str, str]] = [
    ("ConnectionRefusedError: nobody listens", "is not reached: ConnectionRefusedError"),
    (Answered(404), "answered 404"),
    (Distrusted(SIZE, spoiled=False), "7 bytes, 100 were announced"),
    (Interrupted("the server sends no byte of it"), "no byte of it"),
    (RangeRefused("asked for byte 0"), "asked for byte 0"),
]


@pytest.mark.parametrize(("found", "words"), NOT_SERVED)
def test_what_could_not_be_downloaded_fails_and_names_its_address(
    found: Meaning | str, words: str
) -> None:
    judged = judge_server(URL, found, staged=False)
    assert (judged.name, judged.state) == (CheckName.ARTIFACT_SERVER, CheckState.FAILED)
    assert words in judged.detail
    assert URL in judged.detail


@pytest.mark.parametrize(("found", "words"), NOT_SERVED)
def test_where_the_artifact_is_here_already_its_server_is_no_obstacle(
    found: Meaning | str, words: str
) -> None:
    judged = judge_server(URL, found, staged=True)
    assert judged.state is CheckState.WARNING
    assert judged.detail.startswith("the artifact is here already")
    assert words in judged.detail


@pytest.mark.parametrize("staged", [False, True])
def test_a_server_that_begins_to_send_it_is_well(staged: bool) -> None:
    judged = judge_server(URL, Begins(0, 100), staged)
    assert (judged.state, judged.detail) == (
        CheckState.OK,
        f"the artifact is there, 100 bytes ({URL})",
    )


def test_a_size_that_is_not_said_is_a_warning() -> None:
    assert judge_server(URL, Begins(0, None), staged=False).state is CheckState.WARNING


def test_a_long_address_does_not_hide_what_is_wrong() -> None:
    judged = judge_server("https://h/" + "a" * 2000, Answered(503), staged=False)
    assert len(judged.detail) == MAX_DETAIL
    assert "answered 503" in judged.detail
