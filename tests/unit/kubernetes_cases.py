"""Devices in a cluster, what their specs ask for, and strategies for all that is said of them."""

from dataclasses import replace
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from tests.unit.operator_cases import ARTIFACT, ID, NOW

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import DEVICE_ID, MAX_COUNT, check_version
from harmony_fleet.contracts.upgrade import (
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
)
from harmony_fleet.labels import Label
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.kubernetes.objects import (
    Device,
    DeviceSpec,
    DeviceStatus,
    Metadata,
)
from harmony_fleet.operator.kubernetes.wants import Acted, Asked
from harmony_fleet.operator.records import DeviceRecord, Happening, Order

FEW_VERSIONS: Final = ("1.0.0", "2.0.0", "3.0.0")
"""So few that what is asked for, what was ordered and what runs often meet."""


def is_version(text: str) -> bool:
    try:
        return bool(check_version(text))
    except InvalidValue:
        return False


def spelled(numbers: tuple[int, int, int], identifiers: list[str]) -> str:
    release = ".".join(map(str, numbers))
    return f"{release}-{'.'.join(identifiers)}" if identifiers else release


DEVICE_IDS: Final = st.from_regex(DEVICE_ID, fullmatch=True)
VERSIONS: Final = st.builds(
    spelled,
    st.tuples(*[st.integers(0, 99)] * 3),
    st.lists(st.text("01aAz-", min_size=1, max_size=4), max_size=4),
).filter(is_version)
_COUNTS: Final = st.sampled_from([0, 1, 7, MAX_COUNT])
_FROM_1: Final = st.sampled_from([1, 8, MAX_COUNT])
_TEXTS: Final = st.sampled_from(["", "it crashed", "“Größe 0”\nline 2"])
_CAUSES: Final = st.builds(Cause, st.sampled_from(CauseKind), _TEXTS, _TEXTS)
_ARTIFACTS: Final = st.sampled_from([ARTIFACT, Artifact("https://files.example/b", 1, "b" * 64)])
_SOME_VERSION: Final = st.sampled_from(FEW_VERSIONS)
_DESIRED: Final = st.sampled_from([Desired.RUN, Desired.ABORT])


def orders(versions: st.SearchStrategy[str] = _SOME_VERSION) -> st.SearchStrategy[Order]:
    return st.builds(
        Order,
        st.sampled_from(["1" * 32, "2" * 32, "3" * 32]),
        _FROM_1,
        versions,
        _ARTIFACTS,
        st.just(NOW),
        _DESIRED,
        st.booleans(),
        st.none() | _SOME_VERSION,
        st.sampled_from(AgentUpgradePhase),
        st.sampled_from(["", NOW]),
        _COUNTS,
        st.none() | _CAUSES,
        st.none() | st.just("journal-1"),
    )


LABELS: Final = st.sampled_from(
    [(), (Label("ring", "canary"),), (Label("example.com/site", ""), Label("ring", "wide"))]
)


def records(device_ids: st.SearchStrategy[str]) -> st.SearchStrategy[DeviceRecord]:
    return st.builds(
        DeviceRecord,
        device_ids,
        st.none() | _SOME_VERSION,
        st.none() | orders(),
        st.lists(orders(VERSIONS), max_size=2).map(tuple),
        _COUNTS,
        st.none() | st.just("journal-1"),
        st.sampled_from([-1, 0, 9, MAX_COUNT]),
        LABELS,
        st.booleans(),
    )


RECORDS: Final = records(st.just("pi-1"))
_RETRIES: Final = st.sampled_from(["", "today", "tomorrow"])
_ASKED_VERSIONS: Final = st.just("") | _SOME_VERSION
ASKED: Final = st.builds(
    Asked,
    _ASKED_VERSIONS,
    _RETRIES,
    st.none() | st.builds(Acted, _ASKED_VERSIONS, _RETRIES),
)
HAPPENINGS: Final = st.lists(
    st.builds(Happening, st.sampled_from(["phase", "ordered"]), _TEXTS, st.none() | st.just(ID)),
    max_size=3,
)


def newest(phase: AgentUpgradePhase, version: str = "2.0.0", **changed: Any) -> Order:
    return replace(Order(ID, 1, version, ARTIFACT, NOW, phase=phase, since=NOW), **changed)


def device(
    record: DeviceRecord, status: DeviceStatus | None = None, version: int = 10, **spec: Any
) -> Device:
    """With that record's labels and `paused` in its spec; `version`: its resourceVersion."""
    name = object_name(record.device_id)
    return Device(
        metadata=Metadata(name, "fleet", resource_version=str(version), generation=1),
        spec=DeviceSpec(
            device_id="" if name == record.device_id else record.device_id,
            labels={label.key: label.value for label in record.labels},
            paused=record.paused,
            **spec,
        ),
        status=status,
    )


def stored(one: Device, version: int) -> Device:
    """As it comes back from the API server: written, and read again, under that version."""
    again = msgspec.json.decode(msgspec.json.encode(one), type=Device)
    metadata = msgspec.structs.replace(again.metadata, resource_version=str(version))
    return msgspec.structs.replace(again, metadata=metadata)
