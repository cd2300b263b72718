"""The devices of the comparison and their control plane: the same start for every contender."""

import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.releases import build_release
from tests.machines.control_plane import ControlPlane, control_plane
from tests.machines.device import UNIT, Device, Pace, Workshop, eventually
from tests.machines.hub import Hub, hub_at
from tests.machines.machine import Kind

from benchmarks.device.listener import Listener
from benchmarks.device.watcher import Watched, Watcher
from harmony_fleet.operator.records import ARTIFACT_FOLDER as _  # placeholder
