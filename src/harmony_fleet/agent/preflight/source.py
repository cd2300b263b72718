"""The server that has the artifact: what a preflight makes of its answer. Pure."""

from typing import assert_never

from harmony_fleet.asset.answer import Begins, Meaning
from harmony_fleet.asset.policy import Answered, Distrusted, Interrupted, RangeRefused
from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, check


def judge_server(url: str, found: Meaning | str, staged: bool) -> Check:
    """`found`: what its answer means, or why there was none. `staged`: the file is here already."""
    state, words = _judge(found)
    sentence = f"{words} ({url})"
    if staged and state is not CheckState.OK:
        sentence = f"the artifact is here already; else {sentence}"
        state = CheckState.WARNING
    return check(CheckName.ARTIFACT_SERVER, state, sentence)


def _judge(found: Meaning | str) -> tuple[CheckState, str]:
    match found:
        case str():
            return CheckState.FAILED, f"the artifact's server is not reached: {found}"
        case Begins(_, None):
            return CheckState.WARNING, "the artifact is there, and its server does not say its size"
        case Begins(_, total_bytes):
            return CheckState.OK, f"the artifact is there, {total_bytes} bytes"
        case Answered(status):
            return CheckState.FAILED, f"the artifact's server answered {status}"
        case Distrusted(error):
            return CheckState.FAILED, str(error)
        case Interrupted(reason) | RangeRefused(reason):
            return CheckState.FAILED, reason
        case _:
            assert_never(found)
