"""A device that examines itself, where something in it hangs, fails, or is asked twice."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.asset_server import (
    CONTENT,
    AssetServer,
    forget_proxies,
    serve,
    serving,
    stall_before_headers,
)

from harmony_fleet.agent.config import Config, PathsConfig, PlaneConfig
from harmony_fleet.agent.preflight.examine import LIMIT_S, Examiner
from harmony_fleet.agent.upgrade.record import fresh
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.preflight import (
    CheckName,
    CheckState,
    PreflightAnswer,
    PreflightCommand,
)
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.operator.preflight import LIMIT_S as OPERATOR_LIMIT_S

JOURNAL = fresh("journal-1")
SHORT_S = 1.0
ON_DISK = {
    *(CheckName.DISK_SPACE, CheckName.FOLDERS, CheckName.LINK),
    *(CheckName.PREVIOUS, CheckName.ROLLBACK_TARGET),
}
ALL = set(CheckName) - {CheckName.ORDER, CheckName.ANSWER, CheckName.UNKNOWN}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of a device without a supervisor, and without a version on its disk."""
    paths = PathsConfig(
        tmp_path / "none", tmp_path, tmp_path / "link", tmp_path / "previous", tmp_path
    )
    return Config("pi-1", PlaneConfig(("nats://127.0.0.1:1",), tmp_path / "creds"), paths)


def question(server: AssetServer) -> PreflightCommand:
    artifact = Artifact(server.url(), len(CONTENT), "ab" * 32)
    return PreflightCommand("pi-1", "2.0.0", artifact, "2026-01-01T00:00:00Z")


def states(answer: PreflightAnswer) -> dict[CheckName, CheckState]:
    return {check.name: check.state for check in answer.checks}


def test_every_check_is_answered_once_and_in_order(config: Config) -> None:
    async def run() -> None:
        with serving(serve()) as server:
            answer = await Examiner(config, "1.0.0").examine(question(server), JOURNAL)
        assert (answer.outcome, answer.version) == (Outcome.OK, "2.0.0")
        names = [check.name for check in answer.checks]
        assert names == [name for name in CheckName if name in ALL]
        found = states(answer)
        assert found[CheckName.ARTIFACT_SERVER] is CheckState.OK
        assert found[CheckName.MODULES] is CheckState.OK
        assert found[CheckName.SERVICE_MANAGER] is CheckState.FAILED

    asyncio.run(run())


def test_what_hangs_is_unknown_in_time_and_keeps_the_next_preflight_away(config: Config) -> None:
    async def run() -> None:
        examiner = Examiner(config, "1.0.0", SHORT_S)
        with serving(stall_before_headers) as server:
            began = time.monotonic()
            answer = await examiner.examine(question(server), JOURNAL)
            assert time.monotonic() - began < 3 * SHORT_S
            found = states(answer)
            assert set(found) == ALL
            assert found[CheckName.ARTIFACT_SERVER] is CheckState.UNKNOWN
            assert found[CheckName.FOLDERS] is CheckState.OK
            again = await examiner.examine(question(server), JOURNAL)
            assert (again.outcome, again.checks) == (Outcome.REFUSED, ())
            assert "has not ended here yet" in again.reason
        with serving(serve()) as server:  # the one that hung was hung up on
            async with asyncio.timeout(20):
                while (await examiner.examine(question(server), JOURNAL)).checks == ():
                    await asyncio.sleep(0.02)

    asyncio.run(run())


def test_of_two_at_once_one_is_made(config: Config) -> None:
    async def run() -> None:
        examiner = Examiner(config, "1.0.0")
        with serving(serve()) as server:
            both = [examiner.examine(question(server), JOURNAL) for _ in range(2)]
            answers = await asyncio.gather(*both)
        assert [one.outcome for one in answers] == [Outcome.OK, Outcome.REFUSED]

    asyncio.run(run())


def test_a_part_that_fails_costs_no_other_its_findings(config: Config, tmp_path: Path) -> None:
    """A path that leads through a file is no path; its disk cannot be looked at."""
    (tmp_path / "file").touch()
    broken = replace(config, paths=replace(config.paths, link=tmp_path / "file" / "link"))

    async def run() -> None:
        with serving(serve()) as server:
            answer = await Examiner(broken, "1.0.0").examine(question(server), JOURNAL)
        found = states(answer)
        assert {name for name in found if found[name] is CheckState.UNKNOWN} >= ON_DISK
        assert found[CheckName.ARTIFACT_SERVER] is CheckState.OK
        (link,) = [one for one in answer.checks if one.name is CheckName.LINK]
        assert "NotADirectoryError" in link.detail

    asyncio.run(run())


def test_a_device_answers_before_its_operator_gives_it_up() -> None:
    assert LIMIT_S < OPERATOR_LIMIT_S
