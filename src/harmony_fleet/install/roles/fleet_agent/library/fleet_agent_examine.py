"""An Ansible module: looks at a device and changes nothing.

For an install it says what has to be done about the program that is there, or why nothing can be
done. For an uninstall it lists what is there of the agent. Fit for Python 3.8, so that a device
with an old one is told so in a sentence.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_agent_takeover import (
    FOLDER,
    NOTHING,
    PROGRAM,
    VERSION,
    Decision,
    Found,
    Wanted,
    decide,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = """
module: fleet_agent_examine
short_description: Looks at a device before its agent is installed or uninstalled
"""

NAME = "fleet-agent"
UNIT = f"{NAME}.service"
OURS = re.compile(rf"{NAME}(-candidate|-(self-test|guard)-v\d.*|-deadman)?\.(service|timer)")
UNITS = Path("/etc/systemd/system")
PYTHON = "/usr/bin/python3"
FLOOR = (3, 11)
OLDEST_SYSTEMD = 252
RESTART_MODE, RESTART_MODE_SINCE = "restart-mode.conf", 254
TEXT_MODE = 0o644
INSTALL_OPEN = "install-open"
"""Of the role, as long as an install has not come to its end."""
SPOKEN = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z.-]{1,40})?")
SHORT_LIVED = frozenset({"--version", "--self-test", "guard", "check-config", "credentials"})
LIMIT_S = 20
SPACE_BYTES = 1 << 20

ARGUMENTS = {
    "state": {"choices": ["present", "absent"], "required": True},
    "version": {"default": ""},
    "sha256": {"default": ""},
    "size_bytes": {"type": "int", "default": 0},
    "versions": {"required": True},
    "link": {"required": True},
    "previous": {"required": True},
    "state_folder": {"required": True},
    "config_folder": {"required": True},
    "replaces": {"type": "list", "elements": "str", "default": []},
    "texts": {"type": "dict", "default": {}},
}


class Places:
    """Where the agent's things are, or are to be, on this device."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.versions = Path(asked["versions"])
        self.link = Path(asked["link"])
        self.previous = Path(asked["previous"])
        self.state = Path(asked["state_folder"])
        self.config = Path(asked["config_folder"])

    def version(self, version: str) -> Path:
        return self.versions / f"{NAME}-v{version}"

    def link_text(self, version: str) -> str:
        """As the agent itself writes its link."""
        if not version:
            return ""
        link_folder = os.path.realpath(self.link.parent)
        folder = os.path.relpath(os.path.realpath(self.versions), link_folder)
        return str(Path(folder, self.version(version).name))


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    asked, places = module.params, Places(module.params)
    try:
        found = absent(places) if asked["state"] == "absent" else present(asked, places)
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"this device cannot be examined: {error}")
    else:
        module.exit_json(changed=False, **found)


def present(asked: dict[str, Any], places: Places) -> dict[str, Any]:
    there = sha256(places.version(asked["version"])) == asked["sha256"]
    needed = SPACE_BYTES + (0 if there else 2 * asked["size_bytes"])
    obstacle = machine() or room(places, needed) or others(places, asked["replaces"])
    if obstacle:
        return {"obstacle": obstacle}
    found = look(places, asked["version"])
    wanted = Wanted(asked["version"], asked["sha256"])
    decision = decide(found, wanted, str(places.link))
    return {
        **answer(places, decision, wanted),
        "sha256": found.sha256,
        "running": found.running,
        "has_credentials": (places.config / "device.creds").exists(),
        "broke_off": (places.config / INSTALL_OPEN).exists(),
        "folders": list(missing_folders(places)),
        "write": sorted(to_write(asked["texts"])),
    }


def answer(places: Places, decision: Decision, wanted: Wanted) -> dict[str, Any]:
    """`program` is the one whose commands the install may use."""
    runs = wanted.version if decision.deliver or not decision.starts else decision.starts
    return {
        "obstacle": decision.obstacle,
        "deliver": decision.deliver,
        "preserve": str(places.version(decision.preserve)) if decision.preserve else "",
        "link_to": places.link_text(decision.link),
        "program": str(places.version(runs)),
        "starts": decision.starts,
        "took_over": decision.took_over,
        "remark": decision.remark,
    }


def missing_folders(places: Places) -> Iterator[dict[str, str]]:
    """Those that are the system's keep the mode that they have."""
    own = {places.previous.parent: 0o755, places.state: 0o700, places.config: 0o755}
    for folder in (places.versions, places.link.parent, UNITS / f"{UNIT}.d"):
        own.setdefault(folder, -1)
    for folder, mode in own.items():
        if not folder.is_dir() or mode not in {-1, folder.stat().st_mode & 0o7777}:
            yield {"path": str(folder), "mode": f"{0o755 if mode == -1 else mode:04o}"}


def to_write(texts: dict[str, str]) -> Iterator[str]:
    """By path, each digest that the text there has not."""
    systemd = systemd_version()
    for path, digest in texts.items():
        file = Path(path)
        same = sha256(file) == digest and not file.is_symlink()
        if file.name == RESTART_MODE and systemd < RESTART_MODE_SINCE:
            continue
        if not same or file.stat().st_mode & 0o7777 != TEXT_MODE:
            yield path


# What stands against an install


def machine() -> str:
    if os.geteuid() != 0:
        return "the install must be root on the device: log in as root, or use --become (sudo)"
    if not Path("/run/systemd/system").is_dir():
        return "systemd is not this device's service manager, and the agent's unit needs it"
    systemd = systemd_version()
    if systemd < OLDEST_SYSTEMD:
        return f"systemd {systemd} is older than {OLDEST_SYSTEMD}, the oldest that was tried"
    said = run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"])
    if said is None:
        return f"there is no {PYTHON}, which the agent runs on: install Python"
    found = tuple(int(part) for part in said.split())
    if found < FLOOR:
        floor, old = (".".join(map(str, version)) for version in (FLOOR, found))
        return f"{PYTHON} is Python {old}; the agent needs {floor} or newer"
    return ""


def room(places: Places, needed_bytes: int) -> str:
    """For what is brought, and for what is kept of a program that was there."""
    own = (places.state, places.previous.parent)
    for folder in own:
        if folder.name != NAME:
            return f"{folder} must be a folder named {NAME}: an uninstall removes it whole"
    for folder in (places.versions, places.link.parent, *own):
        disk = os.statvfs(existing(folder))
        if disk.f_flag & os.ST_RDONLY:
            return f"{folder} is on a read-only file system: choose another folder"
        if folder == places.versions and disk.f_flag & os.ST_NOEXEC:
            return f"{folder} is on a file system mounted noexec: choose another folder"
        if disk.f_bavail * disk.f_frsize < needed_bytes:
            return f"the disk of {folder} is full: free some space on it"
    return ""


def existing(folder: Path) -> Path:
    """Itself, or the nearest one above it."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def others(places: Places, replaces: list[str]) -> str:
    """An agent that another unit runs, or none: two under one identity harm each other."""
    for process in Path("/proc").glob("[0-9]*"):
        unit = unit_of(process)
        if runs_agent(process, places) and unit not in replaces and not is_ours(unit):
            how = f"--replaces {unit}" if unit else f"kill {process.name}"
            where = f"of {unit}" if unit else "of no unit"
            return f"process {process.name} {where} runs the agent, outside of {UNIT}: {how}"
    return another_program(places)


def another_program(places: Places) -> str:
    """A program that our unit's name stands for already, at a place of its own: of a package."""
    said = run(["systemctl", "show", "-p", "MainPID", "--value", UNIT]) or ""
    process = Path("/proc", said.strip() or "0")
    if process.name == "0" or runs_agent(process, places):
        return ""
    words = " ".join(read(process / "cmdline").split("\0")[:4]).strip()
    if not words:
        return ""
    return f"{UNIT} runs `{words}`, and not {places.link}: name its program by --link"


def runs_agent(process: Path, places: Places) -> bool:
    """As a primary does, itself or by its interpreter; not a self-test that a person has begun."""
    words = read(process / "cmdline").split("\0")
    interpreted = Path(words[0]).name.startswith("python")
    programs = words[1:4] if interpreted else words[:1]
    versions = str(places.version(""))
    ours = any(one == str(places.link) or one.startswith(versions) for one in programs)
    return ours and SHORT_LIVED.isdisjoint(words)


def unit_of(process: Path) -> str:
    groups = read(process / "cgroup").split()
    names = [part for group in groups for part in group.split("/") if part.endswith(".service")]
    return names[-1] if names else ""


def is_ours(unit: str) -> bool:
    """The permanent one, and those that it starts; not one of somebody else's with a like name."""
    return OURS.fullmatch(unit) is not None


# What is there


def look(places: Places, wanted: str) -> Found:
    place, version, digest = NOTHING, None, ""
    if places.link.is_dir():
        place = FOLDER
    elif places.link.is_file():
        digest = sha256(places.link) or ""
        version = version_behind(places)
        place = PROGRAM if version is None else VERSION
        version = spoken(places.link) if version is None else version
    versions = {wanted} if version is None else {wanted, version}
    files = {one: places.version(one) for one in versions}
    digests = {one: sha256(file) for one, file in files.items() if os.access(file, os.X_OK)}
    return Found(
        place,
        version,
        digest,
        running=is_running(),
        attempt_open=os.path.lexists(places.state / "attempt-open"),
        kept={one: found for one, found in digests.items() if found is not None},
    )


def version_behind(places: Places) -> str | None:
    """As the agent reads its link: straight into the versions' folder."""
    try:
        target = places.link.parent / os.readlink(places.link)  # noqa: PTH115 - on Python 3.8
    except OSError:
        return None
    if os.path.realpath(target.parent) != os.path.realpath(places.versions):
        return None
    prefix = f"{NAME}-v"
    version = target.name[len(prefix) :]
    return version if target.name.startswith(prefix) and SPOKEN.fullmatch(version) else None


def spoken(program: Path) -> str | None:
    """What it says of itself; it is the agent that this device trusts already."""
    words = (run([str(program), "--version"]) or "").split()
    return words[-1] if words and SPOKEN.fullmatch(words[-1]) else None


def is_running() -> bool:
    """Also while it starts; not where it waits to be started again, as one does that crashes."""
    said = run(["systemctl", "show", "-p", "ActiveState", "-p", "SubState", UNIT])
    state = dict(line.split("=", 1) for line in (said or "").split() if "=" in line)
    waits = state.get("SubState", "").startswith("auto-restart")
    return state.get("ActiveState") not in {None, "inactive", "failed"} and not waits


def systemd_version() -> int:
    words = (run(["systemctl", "--version"]) or "").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


# What an uninstall has to remove


def absent(places: Places) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {"obstacle": machine(), "units": [], "unit_files": [], "paths": []}
    configured(places)
    found = {path: None for path in own_paths(places) if os.path.lexists(path)}
    return {
        "obstacle": elsewhere(places),
        "units": sorted(loaded(), key=stop_order),
        "unit_files": sorted(map(str, unit_files())),
        "paths": [str(path) for path in found],
    }


def configured(places: Places) -> None:
    """The paths that this device was installed with, where it can still say them."""
    try:
        import tomllib

        paths = tomllib.loads((places.config / "config.toml").read_text()).get("paths", {})
    except (ImportError, OSError, ValueError, AttributeError):
        return
    for name in ("versions", "link", "previous", "state"):
        path = paths.get(name)
        if isinstance(path, str) and path.startswith("/"):
            setattr(places, name, Path(path))


def own_paths(places: Places) -> Iterator[Path]:
    """The configuration, which alone names the others, goes last: one that breaks off is repeated.

    A folder goes whole only where it is named as ours are.
    """
    yield places.link
    for pattern in (f"{NAME}-v[0-9]*", f".{NAME}-v[0-9]*"):
        yield from sorted(places.versions.glob(pattern))
    yield places.previous
    for folder in (places.previous.parent, places.state):
        if folder.name == NAME:
            yield from whole(folder)
    yield from whole(places.config)


def whole(folder: Path) -> Iterator[Path]:
    """What a link leads to goes before the link; a disk that is mounted there stays, empty."""
    real = Path(os.path.realpath(folder))
    if real.is_mount():
        yield from sorted(real.iterdir())
    else:
        yield real
    if folder.is_symlink():
        yield folder


def elsewhere(places: Places) -> str:
    """A folder that would go whole, though it may be somebody else's as well."""
    for folder in (places.previous.parent, places.state, places.config):
        real = Path(os.path.realpath(folder))
        if folder.name == NAME and real.name != NAME and real.exists():
            return (
                f"{folder} leads to {real}, which may hold what is not the agent's: remove what "
                f"is the agent's there, and the link {folder}, by hand; then repeat this"
            )
    return ""


def unit_files() -> Iterator[Path]:
    for name in (UNIT, f"{UNIT}.d", f"{NAME}-deadman.timer", f"{NAME}-deadman.service"):
        if os.path.lexists(UNITS / name):
            yield UNITS / name


def loaded() -> list[str]:
    said = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{NAME}*"])
    names = [line.split()[0] for line in (said or "").splitlines() if line.split()]
    return [name for name in names if is_ours(name)]


def stop_order(unit: str) -> tuple[int, str]:
    """Who could start another one goes before it."""
    first = (f"{NAME}-deadman.timer", f"{NAME}-deadman.service", UNIT)
    return first.index(unit) if unit in first else len(first), unit


# Reading


def sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def run(argv: list[str]) -> str | None:
    """What it printed; None where it cannot be run, or failed."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


if __name__ == "__main__":
    main()
