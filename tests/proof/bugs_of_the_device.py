"""Mistakes in what carries out the device's decisions: driver, disk, downloads, orders, units."""

from typing import Final

from tests.proof.seeding import Bug, change, to

DRIVE, PLANE = "agent/upgrade/drive.py", "agent/upgrade/plane.py"
FILES, RUNNING = "simulation/files.py", "simulation/explore/running.py"

OF_THE_DISK: Final = (
    Bug(
        "the journal is written after the step",
        (
            change(DRIVE, "                await self._make_durable(after)\n", ""),
            change(
                DRIVE,
                "            self._enter(after)\n            for effect in effects:\n"
                "                if isinstance(effect, Exit):\n",
                "            self._enter(after)\n            for effect in effects:\n"
                "                if isinstance(effect, Exit):\n"
                "                    await self._make_durable(after)\n",
            ),
            change(
                DRIVE,
                "                    pending.append(outcome)\n",
                "                    pending.append(outcome)\n"
                "            await self._make_durable(after)\n",
            ),
            change(
                RUNNING,
                "            if after.journal != durable:\n"
                "                run.journal.write(after.journal)\n"
                "                durable = after.journal\n",
                "",
            ),
            change(
                RUNNING,
                "            if isinstance(effect, Exit):\n                run.process, run.exited",
                "            if isinstance(effect, Exit):\n"
                "                try:\n"
                "                    run.journal.write(after.journal)\n"
                "                except JournalUnwritable:\n"
                "                    pass\n"
                "                run.process, run.exited",
            ),
            change(
                RUNNING,
                "                pending.append(outcome)\n\n\ndef perform",
                "                pending.append(outcome)\n"
                "        try:\n"
                "            if after.journal != durable:\n"
                "                run.journal.write(after.journal)\n"
                "                durable = after.journal\n"
                "        except JournalUnwritable:\n"
                "            pass\n\n\ndef perform",
            ),
        ),
        to("good"),
    ),
    Bug(
        "the journal is renamed and its folder not synced",
        (
            change(
                FILES,
                "            backed(self.disk, lambda: self.disk.put(JOURNAL, journal))\n"
                "            self.disk.sync(STATE)\n",
                "            backed(self.disk, lambda: self.disk.put(JOURNAL, journal))\n",
            ),
        ),
        to("good"),
        below="`durable.py`",
    ),
    Bug(
        "the journal is renamed before its bytes are synced",
        (
            change(
                FILES,
                "            backed(self.disk, lambda: self.disk.put(JOURNAL, journal))\n",
                "            torn = Unsynced(journal)\n"
                "            backed(self.disk, lambda: self.disk.put(JOURNAL, torn))\n",
            ),
            change(FILES, "    Disk,\n    Value,\n", "    Disk,\n    Unsynced,\n    Value,\n"),
        ),
        below="`durable.py`",
    ),
    Bug(
        "a program gets its name before its bytes are synced",
        (
            change(
                FILES,
                "            self._replace(file_of(version), sha256, VERSIONS)\n",
                "            self._replace(file_of(version), Unsynced(sha256), VERSIONS)\n",
            ),
            change(FILES, "    Disk,\n    Value,\n", "    Disk,\n    Unsynced,\n    Value,\n"),
        ),
        to("good"),
        below="`asset/landing.py`",
    ),
    Bug(
        "a swapped link's folder is not synced",
        (
            change(
                FILES,
                "                backed(self.disk, lambda: self.disk.put(link, version))\n"
                "            self.disk.sync(folder)\n",
                "                backed(self.disk, lambda: self.disk.put(link, version))\n",
            ),
        ),
        to("silent"),
        below="`durable.py`",
    ),
    Bug(
        "what a killed process left in place is taken for durable",
        (
            change(
                FILES,
                '        with _faults("sync"):\n'
                "            self.disk.sync(STATE)\n"
                "            self.disk.sync(BIN)\n",
                "        return\n",
            ),
            change(
                FILES,
                "                backed(self.disk, lambda: self.disk.put(link, version))\n"
                "            self.disk.sync(folder)\n",
                "                backed(self.disk, lambda: self.disk.put(link, version))\n"
                "                self.disk.sync(folder)\n",
            ),
        ),
        to("silent"),
        below="`layout.py`",
    ),
    Bug(
        "what its version has written anew is relied on before it is durable",
        (
            change(
                FILES,
                '            with _faults("sync"):\n'
                "                self.disk.sync(VERSIONS)\n"
                "            return\n",
                "            return\n",
            ),
        ),
        to("never-ready"),
        below="`layout.py`",
    ),
    Bug(
        "old versions are cleaned up, the running one with them",
        (
            change(
                FILES,
                "        needed = keep.union(version for version in linked if version)\n",
                "        needed = frozenset(v for v in linked - {self.running} if v)\n",
            ),
        ),
        to("silent"),
        below="`layout.py`",
    ),
    Bug(
        "`previous` is not pointed before the cutover",
        (
            change(
                "agent/upgrade/perform.py",
                "        self.ports.executor.point_previous(target)\n",
                "",
            ),
            change(RUNNING, "                run.versions.point_previous(target)\n", ""),
        ),
        to("crashes-at-once"),
    ),
    Bug(
        "a partial download is trusted",
        (
            change(
                "simulation/executor.py",
                "            if served == artifact.sha256:\n",
                "            if served:\n",
            ),
        ),
        below="`asset/landing.py`",
    ),
)

OF_THE_UNITS: Final = (
    Bug(
        "the guard is run by the new version",
        (
            change(
                "simulation/explore/device.py",
                "    previous = run.versions.previous_version()\n    if previous is None",
                "    previous = run.versions.link_version()\n    if previous is None",
            ),
            change(
                "simulation/units.py",
                "        machine, job = self._machine, self._job\n"
                "        previous = machine.disk.seen(PREVIOUS)\n",
                "        machine, job = self._machine, self._job\n"
                "        previous = machine.disk.seen(LINK)\n",
            ),
        ),
        to("crashes-at-once"),
        below="`fleet-agent.service.j2`",
    ),
    Bug(
        "deadlines are counted by the wall clock",
        (
            change(
                "simulation/machine.py",
                "        since_s = self._machine.around.loop.now_s - "
                "self._machine.booted_at_s\n"
                "        return BootTime(self.boot_id, since_s)\n\n"
                "    async def sleep(self, seconds: float) -> None:\n"
                "        await asyncio.sleep(seconds)\n",
                "        since_s = self._now_s() - self._machine.booted_at_s\n"
                "        return BootTime(self.boot_id, since_s)\n\n"
                "    def _now_s(self) -> float:\n"
                "        return self._machine.around.loop.now_s + self._machine.wall_skew_s\n\n"
                "    async def sleep(self, seconds: float) -> None:\n"
                "        until_s = self._now_s() + seconds\n"
                "        while self._now_s() < until_s:\n"
                "            await asyncio.sleep(min(1.0, until_s - self._now_s()))\n",
            ),
        ),
        below="`agent/clock.py`",
    ),
)

OF_ITS_MESSAGES: Final = (
    Bug(
        "an order is known by its revision",
        (
            change(
                PLANE,
                "        event = order_of(entry.value, self._device_id) if entry else None\n",
                "        if entry is None or entry.revision <= self._revision:\n"
                "            return True\n"
                "        self._revision = entry.revision\n"
                "        event = order_of(entry.value, self._device_id)\n",
            ),
            change(
                PLANE,
                "        self._reread_s = reread_s\n",
                "        self._reread_s = reread_s\n        self._revision = 0\n",
            ),
        ),
    ),
    Bug(
        "an order is read only when woken",
        (
            change(
                PLANE,
                "            await set_within(self._wanted, wait_s * random.uniform(0.5, 1.0))\n",
                "            await self._wanted.wait()\n",
            ),
        ),
    ),
    Bug(
        "a status is said once",
        (
            change(
                PLANE,
                "                self._wanted.set()\n                await set_within",
                "                await set_within",
            ),
            change(
                PLANE,
                "        self._plane.on_connect(self._say_again)\n",
                "        return\n",
            ),
            change(
                "agent/upgrade/old_primary.py",
                "    if not _new_to(journal, marker.upgrade_id, marker.generation):\n"
                "        return state, (Report(),)\n    refusal",
                "    if not _new_to(journal, marker.upgrade_id, marker.generation):\n"
                "        return state, ()\n    refusal",
            ),
        ),
    ),
    Bug(
        "a candidate decides: it answers stops",
        (
            change(
                "agent/candidate.py",
                "        await ignore_commands(process.plane, self._device_id)\n",
                "        from harmony_fleet.agent.command_server import CommandServer\n"
                "        from harmony_fleet.agent.upgrade.effects import AnswerStop\n"
                "        from harmony_fleet.agent.upgrade.plane import NatsStopAnswers\n"
                "        from harmony_fleet.contracts.commands import Outcome\n\n"
                "        async def yes(_upgrade_id: str, reply_to: str) -> None:\n"
                "            answers = NatsStopAnswers(process.plane, self._device_id)\n"
                "            await answers.answer(AnswerStop(reply_to, Outcome.OK))\n\n"
                "        await CommandServer(process.plane, process.identity, yes, yes).start()\n",
            ),
        ),
    ),
)
