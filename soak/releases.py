"""The releases that the fleet is upgraded to, back and forth: good ones, and six kinds of bad."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from demo.releases import build_release

from harmony_fleet.contracts.upgrade import CauseKind


@dataclass(frozen=True, slots=True)
class Release:
    version: str
    what: str
    """For the report."""
    good: bool = False
    overlay: str | None = None
    """Of the demo: modules that replace or join the source's."""
    tampered: bool = False
    """The file that is served is changed after the fleet has learned its digest."""
    causes: tuple[CauseKind, ...] = ()
    """With one of these it ends where nothing was hit meanwhile; a good one with none."""


GOOD = (
    Release("1.0.0", "good", good=True),
    Release("1.1.0", "good", good=True),
    Release("1.2.0", "good", good=True),
    Release("1.3.0", "good", good=True),
)
BAD = (
    Release("2.0.0", "wrong hash", tampered=True, causes=(CauseKind.DIGEST_MISMATCH,)),
    Release(
        "2.1.0",
        "failing self-test",
        overlay="needs_missing_module",
        causes=(CauseKind.SELF_TEST_FAILED,),
    ),
    Release(
        "2.2.0", "never heard", overlay="never_heartbeats", causes=(CauseKind.CANDIDATE_SILENT,)
    ),
    Release(
        "2.3.0",
        "crash-loops after the commit",
        overlay="crashes_as_primary",
        causes=(CauseKind.CRASH_LOOP,),
    ),
    Release(
        "2.4.0",
        "hangs after the commit",
        overlay="hangs_as_primary",
        causes=(CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
    ),
    Release(
        "2.5.0",
        "out of contact after the commit",
        overlay="silent_as_primary",
        causes=(CauseKind.NO_CONTACT,),
    ),
)
FIRST = GOOD[0]
"""What each device is installed with."""
BY_VERSION = {release.version: release for release in (*GOOD, *BAD)}


def build_all(folder: Path, releases: Iterable[Release]) -> dict[str, Path]:
    """The file of each, by version."""
    return {one.version: build_release(one.version, folder, one.overlay) for one in releases}
