"""The same figures as a page of Markdown."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.device.releases import SIZE_BYTES
from benchmarks.device.site import PROBATION_S
from benchmarks.table import Figure

MEANT = (
    (
        f"The artifact has {SIZE_BYTES / 1e6:g} MB and is the very same file for all. Each turn "
        "begins on the old version, with the new one's file gone; the order changes from round to "
        "round, and a first round is not counted."
    ),
    (
        f"Settings: the product's defaults, but for a probation of {PROBATION_S:g} s instead of "
        "600 s, which comes after the handover. The others restart the same unit without our guard."
    ),
    (
        "Without a ready agent: while no process lives of which systemd has taken READY, as main "
        "process of the permanent unit or of the candidate's; summed over the devices."
    ),
    (
        "Committed: the device's yes to the operator's stop is on the wire. Handed over: the new "
        "primary is READY as the permanent unit, and was heard. Healthy: the unit is active and "
        "runs the new file, as the device itself sees it."
    ),
    (
        "Control-plane CPU, for all devices: of `fleet up` with NATS and the artifact server, from "
        "the order to the end of probation, less what the same time costs when nothing happens; of "
        "the others, every process on the controlling machine, the ssh masters too."
    ),
)
"""What was set, and what the words mean."""


def write(file: Path, told: Sequence[str], figures: Sequence[Figure]) -> None:
    """`told`: what was set and what is meant, a sentence each."""
    lines = ["# Real devices, in turn with what people use", ""]
    lines += [f"- {one}" for one in told]
    lines += ["", "| what | figure | goal | | |", "|---|---|---|---|---|"]
    lines += [_row(figure) for figure in figures]
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    kernel = ".".join(platform.release().split(".")[:2])
    cores = f"{len(os.sched_getaffinity(0))} cores ({model}), {platform.system()} {kernel}"
    return f"Control plane and devices share one machine: {cores}, Python {_python()}."


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _row(figure: Figure) -> str:
    least = "at least " if figure.at_least else ""
    goal = "" if figure.goal is None else f"{least}{figure.goal:g} {figure.unit}".strip()
    verdict = "" if figure.goal is None else ("ok" if figure.met else "MISSED")
    value = f"{figure.value:.4g} {figure.unit}".strip()
    return f"| {figure.what} | {value} | {goal} | {verdict} | {figure.note} |"
