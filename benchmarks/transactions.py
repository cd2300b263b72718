"""How many transactions a SQLite file has seen, counted from outside, in a log that others write.

The index of the write-ahead log counts them (`iChange`, https://sqlite.org/walformat.html, 2.2.2),
from when the file was first opened until its last user closes it.
"""

import sys
from pathlib import Path

_CHANGES_AT = 8
_CHANGES_BYTES = 4


def transactions(database: Path) -> int:
    """That changed anything. Raises FileNotFoundError where nobody has the file open."""
    with database.with_name(f"{database.name}-shm").open("rb") as index:
        index.seek(_CHANGES_AT)
        return int.from_bytes(index.read(_CHANGES_BYTES), sys.byteorder)
