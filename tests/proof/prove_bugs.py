"""`make prove-bugs`: every seeded bug has to be caught, by the explorer or by the simulator.

Prints, and with `--write` keeps in `docs/seeded-bugs.md`, which of them caught which, and how deep.
Exit status: 0 where all are caught, 1 where one is missed, 2 for what cannot be asked.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from tests.proof.bugs import BUGS
from tests.proof.seeding import Bug, seed

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs/seeded-bugs.md"
AT_ONCE: Final = 2
LIMIT_S: Final = 900.0
MISSED, BAD_INPUT = 1, 2


@dataclass(frozen=True, slots=True)
class Tried:
    bug: Bug
    catch: Mapping[str, str] | None
    """As `hunt.Catch`; None: missed."""
    seconds: float
    told: str
    """What the process said beside it."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    chosen = [bug for name, bug in BUGS.items() if asked.only is None or asked.only in name]
    if not chosen or (asked.write and asked.only):
        print("prove-bugs: no bug of that name, or not all of them to write", file=sys.stderr)
        return BAD_INPUT
    begun_s = monotonic()
    tried = list(_shown(try_all(chosen)))
    lines = [*table(tried)]
    print("\n".join(["", *lines, "", _sum(tried), f"{monotonic() - begun_s:.0f} s"]))
    missed = any(one.catch is None for one in tried)
    if asked.write and not missed:
        PAGE.write_text(page(tried))
    return MISSED if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prove-bugs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", help="the bugs whose name holds this text")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {PAGE.name}")
    return parser


def try_all(bugs: Sequence[Bug]) -> Iterator[Tried]:
    """In their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(try_one, bugs)


def _shown(tried: Iterator[Tried]) -> Iterator[Tried]:
    for one in tried:
        found = one.catch
        how = f"{found['by']}: {found['what']} ({found['where']})" if found else "MISSED"
        print(f"{one.seconds:5.1f} s {one.bug.name}: {how}", flush=True)
        if found is None:
            print(one.told, file=sys.stderr)
        yield one


def try_one(bug: Bug) -> Tried:
    begun_s = monotonic()
    with TemporaryDirectory(prefix="seeded-") as folder:
        ran = hunted(bug.name, seed(bug, Path(folder)))
    catch = json.loads(ran.stdout) if ran.returncode == 0 else None
    return Tried(bug, catch, monotonic() - begun_s, ran.stderr[-2000:])


def hunted(name: str, source: Path) -> "subprocess.CompletedProcess[str]":
    """In a process that imports the code from that folder."""
    command = [sys.executable, "-m", "tests.proof.hunt", name]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "0"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )


def table(tried: Sequence[Tried]) -> Iterator[str]:
    """In Markdown."""
    yield "| mistake | caught by | faults | moves | what was seen |"
    yield "|---|---|--:|--:|---|"
    for one in tried:
        yield f"| {_named(one.bug)} | {_caught(one.catch)} |"


def _named(bug: Bug) -> str:
    return f"{bug.name} (for {bug.below})" if bug.below else bug.name


def _caught(catch: Mapping[str, str] | None) -> str:
    if catch is None:
        return "**missed** | | |"
    explored = catch["by"] == "explorer"
    by = f"explorer, {catch['where']}" if explored else f"simulator, seed {catch['where']}"
    moves = len(catch["story"]) if explored else ""
    return f"{by} | {catch['faults']} | {moves} | {catch['what']}"


def _sum(tried: Sequence[Tried]) -> str:
    caught = [one.catch["by"] for one in tried if one.catch]
    explored = caught.count("explorer")
    return (
        f"{len(caught)} of {len(tried)} are caught: {explored} by the explorer, "
        f"{len(caught) - explored} by the simulator."
    )


def page(tried: Sequence[Tried]) -> str:
    return "\n".join([*_INTRODUCTION, _sum(tried), "", *table(tried), ""])


_INTRODUCTION: Final = (
    "# Seeded bugs",
    "",
    "Written by `make prove-bugs WRITE=1`. Each is a plausible mistake, made in a copy of the",
    "code that ships, and then looked for: by the explorer with no fault, with one, two or three;",
    "and where it does not run the changed code, or finds nothing in its time, by the simulator,",
    "seed after seed. What the changed code raises is no catch: an invariant of the design has to",
    "be found broken, and its number stands before what was seen. `faults` are those that were",
    "needed, or, in the simulator, those of that seed's world; `moves` is the length of the",
    "shortest story that leads there.",
    "",
    "Where neither runs the code that ships, the same mistake was made in the model that stands",
    "for it, and the table names what it stands for.",
    "",
)


if __name__ == "__main__":
    sys.exit(main())
