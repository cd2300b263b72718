"""What the operator makes of a device's answer to a preflight, and of its silence. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.preflight import (
    Check,
    CheckName,
    CheckState,
    PreflightAnswer,
    check,
    verdict,
)
from harmony_fleet.operator.orders import Trial


@dataclass(frozen=True, slots=True)
class PreflightResult:
    device_id: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> CheckState:
        return verdict(self.checks)


def judge_order(trial: Trial) -> Check:
    if trial.refusal is not None:
        return check(CheckName.ORDER, CheckState.FAILED, trial.refusal)
    if trial.needless:
        words = f"{trial.order.version} runs there already: nothing would be ordered"
        return check(CheckName.ORDER, CheckState.OK, words)
    return check(CheckName.ORDER, CheckState.OK, "the operator would order it now")


def judge_answer(answer: PreflightAnswer, version: str) -> Sequence[Check]:
    """What the device found out; or else that nothing is known of it, and why."""
    if answer.outcome is Outcome.REFUSED:
        return (_unknown(f"the device did not look: {answer.reason or 'it does not say why'}"),)
    if answer.outcome is not Outcome.OK or answer.version != version:
        return (_unknown("the device answered something else than what it was asked"),)
    return answer.checks or (_unknown("the device answered without having looked at anything"),)


def judge_silence(why: str) -> Sequence[Check]:
    """No answer, or none that can be used, is unknown: never a yes."""
    return (_unknown(f"no answer: {why}"),)


def _unknown(words: str) -> Check:
    return check(CheckName.ANSWER, CheckState.UNKNOWN, words)
