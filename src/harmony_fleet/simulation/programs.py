"""The versions of the simulated world, by how they behave; and the durations that all of it has."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from harmony_fleet.agent.config import (
    Config,
    HeartbeatConfig,
    PlaneConfig,
    UpgradeConfig,
)
from harmony_fleet.contracts.upgrade import Artifact

SIZE_BYTES = 300_000
FIRST = "1.0.0"
MISSED = 3
"""So many heartbeats in a row: then a device has none any more."""
LIE = "9.9.9"
"""What a version says that lies about its own."""


class Behaviour(StrEnum):
    GOOD = "good"
    FAILS_SELF_TEST = "fails-self-test"
    HANGS_IN_SELF_TEST = "hangs-in-self-test"
    WRONG_BYTES = "wrong-bytes"
    """What is served has another digest than the order says."""
    CANDIDATE_NEVER_READY = "candidate-never-ready"
    CANDIDATE_DIES_AT_ONCE = "candidate-dies-at-once"
    CANDIDATE_DIES_LATER = "candidate-dies-later"
    CANDIDATE_SILENT = "candidate-silent"
    CRASHES_AT_ONCE = "crashes-at-once"
    """These, as primary alone."""
    CRASHES_LATER = "crashes-later"
    HANGS = "hangs"
    NO_CONTACT = "no-contact"
    REBOOTS = "reboots"
    LIES = "lies"
    """It says in all that it says that it is another version."""


@dataclass(frozen=True, slots=True)
class Program:
    """A version's file, as it was released."""

    version: str
    behaviour: Behaviour = Behaviour.GOOD

    @property
    def sha256(self) -> str:
        return _digest(self.version)

    @property
    def says(self) -> str:
        return LIE if self.behaviour is Behaviour.LIES else self.version

    @property
    def artifact(self) -> Artifact:
        return Artifact(self.url, SIZE_BYTES, self.sha256)

    @property
    def url(self) -> str:
        return f"http://fleet.invalid/{self.version}"


@lru_cache(256)
def _digest(version: str) -> str:
    return sha256(f"program {version}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, of what the world does and of the units; shorter than in real life."""

    program_start: float = 0.1
    guard: float = 0.05
    self_test: float = 0.3
    download: float = 0.4
    download_spread: float = 0.0
    """So much longer, at most, does the download of a device take that has a slow line."""
    download_gives_up: float = 6.0
    crash: float = 1.5
    """After its start, of what crashes, hangs or reboots later."""
    restart: float = 0.2
    start_limit: float = 6.0
    watchdog: float = 15.0
    stop_limit: float = 5.0
    boot: float = 1.0
    deadman: float = 10.0
    """Between two wakings of the timer."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Of all that a world has: its own, and the settings of agents and operators."""

    pace: Pace
    heartbeat: HeartbeatConfig
    upgrade: UpgradeConfig
    reconnect_max_s: float = 2.0
    relist_s: float = 90.0
    command_limit_s: float = 2.0
    patience_s: float = 20.0
    """So long does a person ask again where no operator answers."""
    looks_s: float = 2.5
    """Between two looks whether all is quiet."""
    quiet_limit_s: float = 600.0
    """After the last fault: more than every deadline of an attempt and its probation together."""


SHORT = Durations(
    Pace(),
    HeartbeatConfig(interval_s=30.0, quick_interval_s=1.0, quick_probation_s=0.8),
    UpgradeConfig(
        self_test_limit_s=5.0,
        ready_limit_s=3.0,
        stop_limit_s=8.0,
        overall_limit_s=40.0,
        probation_s=6.0,
        starts_allowed=3,
        order_reread_s=30.0,
        outage_s=120.0,
        retry_s=1.0,
    ),
)
"""For many worlds: shorter than in real life."""


def configuration(device_id: str, durations: Durations = SHORT) -> Config:
    """No file is ever read of it."""
    plane = PlaneConfig(
        ("nats://plane.invalid:4222",), Path("/nowhere"), reconnect_max_s=durations.reconnect_max_s
    )
    return Config(device_id, plane, heartbeat=durations.heartbeat, upgrade=durations.upgrade)
