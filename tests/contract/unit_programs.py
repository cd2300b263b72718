"""The program that `unit_player` has a real service manager run: a file for each version.

What it is to do next stands in files of a folder, which it takes away as it reads them. What it did
it writes behind a trace there: boot, pid, role, what, version.
"""

from pathlib import Path

_PROGRAM = """\
#!/usr/bin/python3 -IS
import os, signal, socket, sys, time

FOLDER, VERSION, LINK, OLD_FILE = {folder!r}, {version!r}, {link!r}, {old_file!r}

def say(what):
    boot = open("/proc/sys/kernel/random/boot_id").read().strip()
    with open(FOLDER + "/trace", "a") as file:
        file.write(f"{{boot}} {{os.getpid()}} {{role}} {{what}} {{VERSION}}\\n")

def take(name):
    try:
        what = open(FOLDER + "/" + name).read()
        os.unlink(FOLDER + "/" + name)
    except FileNotFoundError:
        return ""
    return what

def notify(message):
    address = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message, address)

def leave(what, status):
    say(what)
    os._exit(status)

def rest():
    while True:
        time.sleep(1000)

def guard():
    signal.signal(signal.SIGTERM, lambda *_: leave("fails", 1))
    what = take("next-guard")
    say("guarding")
    if what == "hang":
        rest()
    if what == "fail":
        leave("fails", 1)
    if what == "swap":
        os.symlink(OLD_FILE, LINK + ".new")
        os.replace(LINK + ".new", LINK)
    leave("guarded", 0)

told = []

def live(role):
    if role == "candidate":
        signal.signal(signal.SIGTERM, lambda *_: leave("ends", 0))
    else:
        with open(FOLDER + "/primary", "w") as file:
            file.write(VERSION)
    say("starts")
    what = take("next-" + role)
    if what == "hang":
        rest()
    if what:
        leave("ends", int(what.split()[1]))
    if role == "primary":
        signal.signal(signal.SIGTERM, lambda *_: (say("told"), told.append(True)))
    say("ready")
    notify(b"READY=1")
    how = ""
    while not told or how == "deaf":
        notify(b"WATCHDOG=1")
        time.sleep(0.01)
        how = how or take("tell-" + role)
        if how == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            rest()
        if how.startswith("exit"):
            leave("ends", int(how.split()[1]))
    while how == "linger" and take("let-end") == "":
        notify(b"WATCHDOG=1")
        time.sleep(0.01)
    leave("ends", 0)

role = sys.argv[1] if len(sys.argv) > 1 else "primary"
guard() if role == "guard" else live(role)
"""


def program(version: str, folder: str, link: str, old_file: str) -> str:
    """`link` leads to `old_file` once the guard has swapped it."""
    return _PROGRAM.format(folder=folder, version=version, link=link, old_file=old_file)


def leave(folder: Path, name: str, what: str) -> None:
    """For a program to take, whole."""
    new = folder / f"{name}.new"
    new.write_text(what)
    new.replace(folder / name)
