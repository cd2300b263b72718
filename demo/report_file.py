"""A file for what a long run will have found: whether it can be written is looked at before."""

import argparse
import tempfile
from pathlib import Path


def report_file(text: str) -> Path:
    """For argparse, which ends with a sentence and status 2 where it cannot be."""
    file = Path(text)
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{file} is a folder: name a file in it")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{file.parent} is no folder: make it first")
    try:
        _try(file)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be written: {error.strerror}") from error
    return file


def _try(file: Path) -> None:
    """What is there stays as it is."""
    if file.exists():
        file.open("ab").close()
    else:
        with tempfile.TemporaryFile(dir=file.parent):
            pass
