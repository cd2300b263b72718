"""The processes that simulate worlds for another one: they end with it, however it ends."""

import gc
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor

_LOOKS_S = 1.0


def workers(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    """An interrupt is for whoever waits for the worlds. What is loaded already is no rubbish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    gc.freeze()


def _end_with(parent: int) -> None:
    """A parent that was killed closes no queue: its workers would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_S)
    os._exit(1)
