"""What the operator made of an order: said device by device, waited for, turned into an error."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_fleet.cli.errors import CommandFailed, Refused
from harmony_fleet.cli.following import Followed, begin
from harmony_fleet.cli.output import parsed, remark, say, say_answer, say_line
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Devices, Result, Results, read
from harmony_fleet.cli.waiting import judge, wait
from harmony_fleet.cli.words import NOTHING
from harmony_fleet.printable import printable

ORDER_REFUSED = "order_refused"
"""The kind of a refusal that is the order's own fault."""


@dataclass(frozen=True, slots=True)
class Wait:
    timeout_s: float | None


def report(settings: Settings, answer: bytes, version: str, waits: Wait | None) -> None:
    """Raises UpgradeFailed, TimedOut, Refused, CommandFailed: no device at all."""
    results = read(Results, answer).results
    refused = [result for result in results if not result.ordered]
    _say_results(settings, answer, waits, version)  # first: the operator may be gone by now
    settled = _running(settings, version) if refused else set()
    if not results:
        raise CommandFailed("there is no device yet: start some with `fleet device start-local 3`")
    if len(refused) == len(results) and settled.issuperset(one.device_id for one in results):
        _say_nothing_to_do(settings, version, len(results))
        return
    _wait_for(settings, begin(results, version), waits)
    _judge_refused(settings, [one for one in results if one.device_id not in settled])


def report_rollback(settings: Settings, answer: bytes, waits: Wait | None) -> None:
    """Raises UpgradeFailed, TimedOut, Refused, CommandFailed."""
    results = read(Results, answer).results
    _say_results(settings, answer, waits)
    _wait_for(settings, begin(results), waits)
    _judge_refused(settings, results)


def report_abort(settings: Settings, answer: bytes) -> None:
    """Raises Refused."""
    results = read(Results, answer).results
    if settings.as_json:
        say_answer(answer)
    else:
        for result in results:
            if result.ordered:
                say(f"{result.device_id}  abort ordered")
    _judge_refused(settings, results)


def report_pause(settings: Settings, answer: bytes, done: str) -> None:
    """`done`: one word for it. Raises Refused, CommandFailed."""
    results = read(Results, answer).results
    if settings.as_json:
        say_answer(answer)
    else:
        for result in results:
            if result.ordered:
                say(f"{result.device_id}  {done}{_beside(result)}")
    if not results:
        raise CommandFailed("there is no device yet: nothing was changed")
    _judge_refused(settings, results)


def _beside(result: Result) -> str:
    if not result.upgrade_id:
        return ""
    return f"; its upgrade to {printable(result.to_version or NOTHING)} goes on"


def _running(settings: Settings, version: str) -> set[str]:
    """Those that need no order: seen to run that version, with nothing under way."""
    with settings.connect() as client:
        devices = read(Devices, client.devices()).devices
    return {
        device.device_id
        for device in devices
        if device.current_version == version and (not device.upgrade or device.upgrade.final)
    }


def _wait_for(settings: Settings, ordered: list[Followed], waits: Wait | None) -> None:
    if waits is not None and ordered:
        judge(wait(settings, ordered, waits.timeout_s), waits.timeout_s)


def _say_results(
    settings: Settings, answer: bytes, waits: Wait | None, version: str = NOTHING
) -> None:
    if settings.as_json and waits is None:
        say_answer(answer)
    elif settings.as_json:
        say_line(parsed(answer))
    elif waits is None:
        for result in read(Results, answer).results:
            if result.ordered:
                say(f"{result.device_id}  {result.to_version or version}  ordered")


def _say_nothing_to_do(settings: Settings, version: str, devices: int) -> None:
    if not settings.as_json:
        who = "the one device runs" if devices == 1 else f"all {devices} devices run"
        say(f"nothing to do: {who} {version} already")


def _judge_refused(settings: Settings, results: Sequence[Result]) -> None:
    """Refused is bad input that changed nothing; what was done in part has failed in part.

    So has what could not be done, such as a store on a full disk.
    """
    refused = [result for result in results if not result.ordered]
    if not refused:
        return
    in_part = len(refused) < len(results)
    failed = any(result.kind not in {None, ORDER_REFUSED} for result in refused)
    error = CommandFailed if failed or in_part else Refused
    if len(refused) == 1:
        raise error(_reason(refused[0]))
    if settings.as_json:
        raise error(f"{len(refused)} devices took no order: each one's reason is in the results")
    for result in refused:
        remark(_reason(result))
    raise error(f"{len(refused)} devices took no order, for the reasons above")


def _reason(result: Result) -> str:
    reason = printable(result.reason or "the operator refused, and did not say why")
    return reason if result.device_id in reason else f"{result.device_id}: {reason}"
