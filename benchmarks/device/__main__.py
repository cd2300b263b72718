"""Trial."""

import sys
import tempfile
from pathlib import Path

from tests.machines.hub import hub_at
from tests.machines.image import DEBIAN_12

from benchmarks.device.ansible import Ansible
from benchmarks.device.harmony import Harmony
from benchmarks.device.shell import Shell
from benchmarks.device.site import grounds
from benchmarks.device.turn import take

with tempfile.TemporaryDirectory() as name, hub_at(Path(name)) as hub:
    with grounds(hub, Path(name), DEBIAN_12) as place, place.site(int(sys.argv[1])) as site:
        print("idle", site.idle_cpu)
        contenders = [Harmony(), Ansible(), Shell()]
        for one in contenders:
            one.prepare(site)
        for r in range(int(sys.argv[2])):
            for one in contenders:
                turn = take(one, site)
                print(one.name, turn)
        for one in contenders:
            one.close()
