"""Processes full of light devices, what processes cost, and how to wait: all with an end."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.light_process import Wanted

PROCESSES = 2
LOOK_AGAIN_S = 0.05


def names(number: int) -> list[str]:
    return [f"light-{n}" for n in range(number)]


@dataclass
class LightProcesses:
    processes: "list[subprocess.Popen[str]]"

    @property
    def cpu_s(self) -> float:
        return sum(cpu_s(process.pid) for process in self.processes)

    async def attempts_s(self) -> list[float]:
        """The instants of all attempts to connect until now, in order."""
        told = [await asyncio.to_thread(_asked, process) for process in self.processes]
        return sorted(instant for instants in told for instant in instants)


@asynccontextmanager
async def light_devices(
    folder: Path, accounts: Path, url: str, number: int, probation_s: float
) -> AsyncIterator[LightProcesses]:
    """Switched on when this is entered; ended by process id."""
    mine = [names(number)[n::PROCESSES] for n in range(PROCESSES)]
    wanted = [Wanted(str(folder), str(accounts), url, some, probation_s) for some in mine]
    processes = [_spawn(one, folder.with_suffix(".log")) for one in wanted]
    try:
        for process in processes:
            assert process.stdout is not None
            line = await asyncio.to_thread(process.stdout.readline)
            assert line == "ready\n", "the light devices did not start"
        yield LightProcesses(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _spawn(wanted: Wanted, log: Path) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "benchmarks.light_process", json.dumps(asdict(wanted))]
    with log.open("a") as stderr:
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=stderr, text=True)


def _asked(process: "subprocess.Popen[str]") -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    print(file=process.stdin, flush=True)
    return [float(s) for s in json.loads(process.stdout.readline())]


def cpu_s(pid: int) -> float:
    """Of all its threads, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def until(condition: Callable[[], bool], limit_s: float, what: Callable[[], str]) -> None:
    """Raises TimeoutError, which says what was missing."""
    ends_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends_s:
            raise TimeoutError(f"not within {limit_s:g} s: {what()}")
        await asyncio.sleep(LOOK_AGAIN_S)
