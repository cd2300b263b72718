"""Numbers on the command lines of the simulator and the explorer."""

import argparse

MOST = 10**9


def whole(text: str) -> int:
    found = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else -1
    if not 0 <= found <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {MOST}")
    return found


def positive(text: str) -> int:
    found = whole(text)
    if found == 0:
        raise argparse.ArgumentTypeError("0 is too few")
    return found
