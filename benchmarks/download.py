"""Download and verify 200 MB from a local server, in turn with `curl` and `sha256sum`."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.files import served
from benchmarks.table import Figure, median

SIZE_BYTES = 200 * 1000 * 1000
ROUNDS = 5

OURS = """
import sys
from pathlib import Path
from harmony_fleet.asset import DownloadableAsset
def highest_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
url, size, sha256, to = sys.argv[1:]
before = highest_kib()
DownloadableAsset(url, int(size), sha256).fetch(Path(to))
print(highest_kib() - before)
"""
# Not ru_maxrss: across an exec it keeps what the parent had, and hides all growth below that.


def measure() -> Iterator[Figure]:
    if shutil.which("curl") is None:
        raise SystemExit("bench: curl is missing; install it, the comparison is with it")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, served(Path(name)) as base:
        folder, url = Path(name), f"{base}/file"
        sha256 = _make(folder / "file")
        ours, theirs, grown_kib = [], [], []
        for _ in range(ROUNDS):
            taken, grown = _ours(url, sha256, folder / "ours")
            ours.append(taken)
            grown_kib.append(grown)
            theirs.append(_theirs(url, sha256, folder / "theirs"))
    ratio = median([a / b for a, b in zip(ours, theirs, strict=True)])
    note = f"{median(ours):.2f} s with fsync, against {median(theirs):.2f} s without"
    yield Figure("download and verify 200 MB, against curl + sha256sum", ratio, "", 0.6, note)
    yield Figure("download and verify 200 MB: memory grown by", max(grown_kib) / 1024, "MiB", 4)


def _make(path: Path) -> str:
    digest = hashlib.sha256()
    block = os.urandom(1_000_000)
    with path.open("wb") as file:
        for number in range(SIZE_BYTES // len(block)):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _ours(url: str, sha256: str, to: Path) -> tuple[float, int]:
    to.unlink(missing_ok=True)
    began_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", OURS, url, str(SIZE_BYTES), sha256, to],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.monotonic() - began_s, int(ran.stdout)


def _theirs(url: str, sha256: str, to: Path) -> float:
    to.unlink(missing_ok=True)
    began_s = time.monotonic()
    subprocess.run(["curl", "-sS", "-o", to, url], check=True)
    found = subprocess.run(["sha256sum", to], check=True, capture_output=True, text=True).stdout
    assert found.startswith(sha256)
    return time.monotonic() - began_s
