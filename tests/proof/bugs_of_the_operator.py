"""Mistakes of the operator: what it takes for an observation, for a verdict, and for its own."""

from typing import Final

from tests.proof.seeding import Bug, change, to

COORDINATOR, LOOP = "operator/coordinator.py", "operator/loop.py"
OBSERVER, LIVENESS = "operator/observer.py", "operator/liveness.py"

OF_ITS_SIGHT: Final = (
    Bug(
        "a stop is sent without an observation",
        (change(COORDINATOR, "        and case.seen_upgrade == upgrade_id\n", ""),),
        to("good"),
    ),
    Bug(
        "an abort is overtaken by a stop",
        (
            change(
                COORDINATOR, "        and order.desired is Desired.RUN\n        and", "        and"
            ),
        ),
        to("an abort"),
    ),
    Bug(
        "a replayed heartbeat is counted",
        (
            change(
                COORDINATOR,
                "        event.live\n        and order is not None\n",
                "        order is not None\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "a heartbeat of another version is counted",
        (change(COORDINATOR, "        and beat.agent_version == order.version\n", ""),),
        to("lies"),
    ),
    Bug(
        "a heartbeat of another upgrade is counted",
        (change(COORDINATOR, "        and beat.upgrade_id == order.upgrade_id\n", ""),),
        to("an abort, and the same version again"),
    ),
    Bug(
        "sight is kept over a lost connection",
        (
            change(
                COORDINATOR,
                "            return replace(case, seen_upgrade=None), ()\n",
                "            return case, ()\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "what was seen of an order counts for the next",
        (
            change(
                COORDINATOR,
                "    case = replace(case, record=record, seen_upgrade=None, stop_in_flight=False, "
                "unanswered=0)\n",
                "    seen = order.upgrade_id if case.seen_upgrade else None\n"
                "    case = replace(case, record=record, seen_upgrade=seen, "
                "stop_in_flight=False)\n",
            ),
        ),
        to("another order"),
    ),
    Bug(
        "a stop is sent without another look at the store",
        (
            change(
                LOOP,
                "            if may_stop(await self._devices.looked_again(device_id), "
                "upgrade_id):\n",
                "            if may_stop(self._devices.known(device_id).case, upgrade_id):\n",
            ),
            change(
                "simulation/explore/operators.py",
                "    looked = read(office)\n    desk, channel",
                "    looked = office\n    desk, channel",
            ),
        ),
        to("two operators, and an abort"),
    ),
    Bug(
        "a heartbeat of a listing is counted",
        (
            change(
                OBSERVER,
                "            self._heard(name, entry.value, live=False)\n",
                "            self._heard(name, entry.value, live=True)\n",
            ),
        ),
    ),
    Bug(
        "the sequence of before a loss is compared with",
        (
            change(
                LIVENESS,
                "    return Liveness(liveness.connection + 1)\n",
                "    return Liveness(liveness.connection + 1, liveness.baseline)\n",
            ),
        ),
    ),
)

OF_ITS_RECORD: Final = (
    Bug(
        "a time-out is taken for a success",
        (
            change(
                COORDINATOR,
                "    return replace(case, stop_in_flight=False, unanswered=case.unanswered + 1), "
                "()\n\n\ndef _with_stop",
                "    order = replace(order, phase=AgentUpgradePhase.COMMITTED)\n"
                "    return replace(case, record=replace(case.record, order=order)), ()\n"
                "\n\ndef _with_stop",
            ),
        ),
        to("good"),
    ),
    Bug(
        "the current version is taken from the order",
        (
            change(
                COORDINATOR,
                "            return replace(case, record=replace(case.record, order=order)), "
                "(taken, told)\n",
                "            record = replace(\n"
                "                case.record, order=order, current_version=order.version\n"
                "            )\n"
                "            return replace(case, record=record), (taken, told)\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "a verdict is overwritten in the store",
        (
            change(
                "operator/verdicts.py",
                "    if not order.open:\n        return order\n",
                "",
            ),
        ),
        to("wrong-bytes"),
    ),
    Bug(
        "a new journal's statements are taken for old ones",
        (
            change(
                COORDINATOR,
                "    if status.journal_id == record.journal_id and status.seq <= record.seq:\n",
                "    if status.seq <= record.seq:\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "the bucket is never compared with the store",
        (
            change(
                COORDINATOR,
                "    return (case, ()) if event.marker == wanted else (case, "
                "(WriteMarker(wanted),))\n",
                "    return (case, ()) if wanted else (case, (WriteMarker(wanted),))\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "a record is saved over another operator's",
        (
            change(
                LOOP,
                "            except Conflict:\n"
                "                await self._devices.reload(device)\n"
                "        self._remember",
                "            except Conflict:\n"
                "                stored = await self._store.load(before.device_id)\n"
                "                device.revision = stored.revision\n"
                "        self._remember",
            ),
        ),
    ),
    Bug(
        "an abort is not durable",
        (
            change(
                LOOP,
                "                if after.record != before:\n",
                "                aborted = isinstance(event, AbortOrdered)\n"
                "                if after.record != before and not aborted:\n",
            ),
        ),
    ),
)
