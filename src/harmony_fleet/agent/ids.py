"""Random names: of a process instance, and of a journal."""

import os


def new_id() -> str:
    """128 random bits, 32 hexadecimal digits."""
    return os.urandom(16).hex()
