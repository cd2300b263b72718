"""The figures as a page of Markdown, and what machine they are of."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Figure


def write(file: Path, title: str, told: Sequence[str], figures: Sequence[Figure]) -> None:
    """`told`: what was set and what is meant, a sentence each."""
    lines = [f"# {title}", ""]
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
