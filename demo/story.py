"""The story: each step is one release, and what must be observed after it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.releases import build_release, tamper
from demo.stage import FLEET, TIMING, Stage
from demo.watcher import Expected, Finding

STEP_LIMIT_S = 25
ONE_RESTART_S = 1.5
"""The pause before a restart, a guard that rolls back, and the start of an interpreter."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    about: str
    """For somebody who sees it for the first time."""
    expected: Expected
    overlay: str | None = None
    tampered: bool = False
    """The release's file is changed after the fleet knows its digest."""

    @property
    def version(self) -> str:
        return self.expected.release


GOOD = "1.1.0"

STEPS = (
    Step(
        "a good release",
        "Each agent fetches it, checks it, and starts it beside itself. Only when the control "
        "plane has heard the new one does the old one end. The new one is on probation first.",
        Expected(GOOD, GOOD, "Succeeded", starts_least=1, starts_most=1),
    ),
    Step(
        "bytes that do not match their hash",
        "Its file is changed after the fleet has learned its hash. The changed file is a working "
        "agent of the same size: only its hash tells. It must be refused before it can run.",
        Expected("1.2.0", GOOD, "Failed", "digest_mismatch", "the server sent has the SHA-256"),
        tampered=True,
    ),
    Step(
        "a version whose self-test fails",
        "It imports a module that no device has. Its self-test must say so; it must never start.",
        Expected("1.3.0", GOOD, "Failed", "self_test_failed", "No module named 'acme_sensor_sdk'"),
        overlay="needs_missing_module",
    ),
    Step(
        "a version that starts and is never heard",
        "It passes its self-test, starts beside the old agent, and sends no heartbeat. The old "
        "agent must wait for that in vain, end it, and go on.",
        Expected("1.4.0", GOOD, "RolledBack", "candidate_silent", "never got a heartbeat"),
        overlay="never_heartbeats",
    ),
    Step(
        "a version that is committed, then crash-loops",
        "It is fine beside the old agent, which hands over to it; then it dies at each start as "
        "the permanent agent. The old version's guard must count these starts, and go back.",
        Expected(
            "1.5.0",
            GOOD,
            "RolledBack",
            "crash_loop",
            "the new cache index cannot be opened twice",
            starts_least=2,
            starts_most=TIMING.starts_allowed,
            gap_limit_s=ONE_RESTART_S,
        ),
        overlay="crashes_as_primary",
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    step: Step
    findings: list[Finding]

    @property
    def as_expected(self) -> bool:
        return not any(finding.faults for finding in self.findings)


def tell(stage: Stage, step: Step, say: Say) -> Outcome:
    """Release it, order it for all devices, watch it with the user's own commands, judge."""
    file = build_release(step.version, stage.data / "built", step.overlay)
    stage.watcher.begin(step.title)
    _fleet(stage, say, "release", "add", str(file))
    if step.tampered:
        say("(now the file that is served is changed, without its size or what it does)")
        name = json.loads(stage.client.release(step.version))["artifact_name"]
        tamper(stage.data / "artifacts" / name)
    _fleet(
        stage, say, "upgrade", "--all", "--to", step.version, "--wait", f"--timeout={STEP_LIMIT_S}"
    )
    return Outcome(step, stage.watcher.judge(step.expected))


def _fleet(stage: Stage, say: Say, *words: str) -> None:
    """As a person would type it. Its exit status is not judged here: the watcher judges."""
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    say(f"$ fleet {shown}")
    subprocess.run([FLEET, *words, "--data", stage.data], check=False)
