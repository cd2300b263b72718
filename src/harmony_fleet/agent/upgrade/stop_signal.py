"""Who answers a stop what. A stop is acted on only where it names the upgrade that is armed.

The signal is armed while the state is `Armed` or `Trial`, for the upgrade_id of its journal, and
at no other time: there is no flag beside the state that could disagree with it.
"""

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    StopReceived,
)
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    State,
    Trial,
)
from harmony_fleet.contracts.commands import Outcome


def acts_on(state: State, stop: StopReceived) -> bool:
    """The decision to commit on this device: armed, and for that very upgrade."""
    if not isinstance(state, Armed | Trial):
        return False
    attempt = state.journal.open_attempt
    return attempt is not None and attempt.upgrade_id == stop.upgrade_id


def acknowledge(stop: StopReceived) -> AnswerStop:
    return AnswerStop(stop.reply_to, Outcome.OK)


def answer_stop(journal: Journal, stop: StopReceived) -> AnswerStop:
    """To a stop that is not acted on: what became of the upgrade that it names."""
    attempt = journal.open_attempt
    if attempt and attempt.upgrade_id == stop.upgrade_id and attempt.stage is Stage.COMMITTED:
        return acknowledge(stop)
    verdict = journal.verdict_on(stop.upgrade_id)
    if verdict is not None:
        return AnswerStop(stop.reply_to, Outcome.ENDED, ended=verdict)
    return AnswerStop(stop.reply_to, Outcome.REFUSED, reason=_reason(attempt, stop.upgrade_id))


def _reason(attempt: Attempt | None, upgrade_id: str) -> str:
    if attempt is None:
        return f"no upgrade is under way here, and {upgrade_id} is not known"
    if attempt.upgrade_id == upgrade_id:
        return f"this upgrade is in {attempt.stage}, and not ready to be committed"
    return f"another upgrade is under way here, not {upgrade_id}"
