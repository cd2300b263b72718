"""The custom resources `Device` and `AgentRelease`, as they are on the wire. Shapes only.

Their schemas in the cluster are made from these types (`schemas`), so what is said here of a field
is what `kubectl explain` shows. What has its default is left out; unknown fields are ignored.
"""

from typing import Annotated, Final, Literal

from lightkube.core.resource import ApiInfo, NamespacedResourceG, NamespacedSubResource, ResourceDef
from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from harmony_fleet.contracts.upgrade import MAX_EVIDENCE, MAX_SENTENCE
from harmony_fleet.operator.kubernetes.names import API_VERSION, GROUP, VERSION

SCHEMA: Final = 1
"""Of a Device's status; raised when a reader of before would lose what it does not know."""
HISTORY_KEPT: Final = 20
"""Entries of one device's history: whoever watches a Device is sent all of it."""
PAST_KEPT: Final = 32
LABELS_KEPT: Final = 64
MAX_MESSAGE: Final = 4096

# Written for RE2, as the API server reads it. `contracts.identity` is stricter, and decides.
_VERSION: Final = (
    r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})"
    r"(-([0-9A-Za-z-]+\.)*[0-9A-Za-z-]*[0-9A-Za-z])?$"
)
_SHA256: Final = "^[0-9a-f]{64}$"
_LABEL: Final = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_INT64: Final = {"format": "int64"}
SENTENCE: Final = "x-sentence"
"""What a person reads who wrote what the pattern does not take; else it is the pattern itself."""


def _or(sentence: str) -> dict[str, str]:
    return {SENTENCE: sentence}


_NO_VERSION: Final = _or("a version is SemVer without build metadata, such as 1.4.0 or 2.0.0-rc.1")
Short = Annotated[str, Meta(max_length=64)]
SizeBytes = Annotated[
    int, Meta(description="How many bytes it has, exactly.", ge=1, extra_json_schema=_INT64)
]
LabelValue = Annotated[
    str,
    Meta(
        pattern=_LABEL,
        max_length=63,
        extra_json_schema=_or(
            "a label's value is of letters, digits, '-', '_' and '.', with a letter or a digit at "
            "both ends, or empty"
        ),
    ),
]


class Wire(Struct, omit_defaults=True, rename="camel", frozen=True):
    pass


class Metadata(Wire, frozen=True):
    """Of any object: what is used of it here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()


class Condition(Wire, frozen=True, kw_only=True):
    """As in metav1."""

    type: Annotated[
        str, Meta(description="Ready, Reconciling, Stalled or, of a Device, Online.", max_length=64)
    ]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether it holds.")]
    reason: Annotated[str, Meta(description="One word, for programs.", max_length=128)]
    message: Annotated[str, Meta(description="A sentence, for people.", max_length=MAX_MESSAGE)] = (
        ""
    )
    last_transition_time: Annotated[
        str, Meta(description="When its status changed last. RFC 3339, UTC.", max_length=40)
    ]
    observed_generation: Annotated[
        int, Meta(description="The metadata.generation it is about.", extra_json_schema=_INT64)
    ] = 0


class DeviceSpec(Wire, frozen=True):
    """What is wanted of the device."""

    device_id: Annotated[
        str,
        Meta(
            description="Which device it is, where the object's name cannot say so: an id with "
            "an underscore. Never changed.",
            pattern="^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
            max_length=63,
            extra_json_schema=_or(
                "a device id is of small letters, digits, '-' and '_', with a letter or a digit at "
                "both ends"
            ),
        ),
    ] = ""
    version: Annotated[
        str,
        Meta(
            description="The agent's version that the device shall run, such as 1.4.0: that of an "
            "AgentRelease. Without one, nothing is ordered. The device runs it once the condition "
            "Ready is True; where Stalled is, its message says why not.",
            pattern=_VERSION,
            max_length=63,
            extra_json_schema=_NO_VERSION,
        ),
    ] = ""
    retry: Annotated[
        str,
        Meta(
            description="A new value, such as the time of day, orders a version again that has "
            "failed on this device.",
            max_length=63,
        ),
    ] = ""
    paused: Annotated[
        bool, Meta(description="No new order starts; one that is under way goes on.")
    ] = False
    labels: Annotated[
        dict[str, LabelValue],
        Meta(
            description="What selectors choose the device by, as `fleet upgrade --selector` does.",
            max_length=LABELS_KEPT,
        ),
    ] = {}


class Artifact(Wire, frozen=True):
    """The file that was ordered."""

    url: Annotated[str, Meta(description="Where the device downloads it.", max_length=2048)]
    size_bytes: SizeBytes
    sha256: Annotated[
        str, Meta(description="Of its bytes, in lower-case hexadecimal.", pattern=_SHA256)
    ]


class Cause(Wire, frozen=True):
    """Why it ended, or why it waits."""

    kind: Annotated[str, Meta(description="Stable, for programs.", max_length=64)]
    sentence: Annotated[
        str, Meta(description="A sentence that a person can act on.", max_length=MAX_SENTENCE)
    ]
    evidence: Annotated[
        str,
        Meta(
            description="The self-test's output, or the failed version's last log lines.",
            max_length=MAX_EVIDENCE,
        ),
    ] = ""


class Upgrade(Wire, frozen=True, kw_only=True):
    """One order, and how far the device has come with it."""

    phase: Annotated[
        str,
        Meta(
            description="Pending, Staging, Verifying, CutoverReady, Committed, Reverting; ended: "
            "Succeeded, Failed, RolledBack, Unresolved, NeverStarted.",
            max_length=32,
        ),
    ]
    from_version: Annotated[
        Short | None, Meta(description="What ran before, as the device says.")
    ] = field(default=None, name="from")
    to_version: Annotated[str, Meta(description="What was ordered.", max_length=63)] = field(
        name="to"
    )
    upgrade_id: Annotated[str, Meta(description="Names this attempt.", max_length=32)]
    error: Annotated[
        str, Meta(description="Why it ended, or why it waits, in one line.", max_length=512)
    ] = ""
    since: Annotated[
        str, Meta(description="When the phase was entered. RFC 3339, UTC.", max_length=40)
    ]
    ordered_at: Annotated[str, Meta(description="RFC 3339, UTC.", max_length=40)]
    generation: Annotated[
        int,
        Meta(
            description="Of the order: the device takes none that is not above the one before.",
            extra_json_schema=_INT64,
        ),
    ]
    desired: Annotated[Literal["run", "abort"], Meta(description="Whether to go on with it.")] = (
        "run"
    )
    retry: Annotated[
        bool, Meta(description="Tried again although this version failed here before.")
    ] = False
    attempt: Annotated[
        int,
        Meta(
            description="1 for the device's first; a restart while staging or verifying begins "
            "the next.",
            extra_json_schema=_INT64,
        ),
    ] = 0
    artifact: Artifact
    cause: Cause | None = None
    journal_id: Annotated[
        Short | None, Meta(description="The device's journal known at the order.")
    ] = None


class HistoryEntry(Wire, frozen=True):
    """Something that happened to the device."""

    at: Annotated[str, Meta(description="When. RFC 3339, UTC.", max_length=40)]
    kind: Annotated[str, Meta(description="What it was, in one word for programs.", max_length=64)]
    sentence: Annotated[str, Meta(description="What it was, for people.", max_length=MAX_MESSAGE)]
    upgrade_id: Annotated[Short | None, Meta(description="Of the order that it is about.")] = None
    number: Annotated[
        int,
        Meta(description="Its place among those of all devices.", extra_json_schema=_INT64),
    ] = 0


class ActedOn(Wire, frozen=True):
    """What of the spec was acted on last."""

    version: Annotated[str, Meta(description="As spec.version was then.", max_length=63)] = ""
    retry: Annotated[str, Meta(description="As spec.retry was then.", max_length=63)] = ""


class DeviceStatus(Wire, frozen=True):
    """What the operator has observed. Written by it alone."""

    observed_generation: Annotated[
        int,
        Meta(
            description="The metadata.generation that the conditions are about.",
            extra_json_schema=_INT64,
        ),
    ] = -1
    current_version: Annotated[
        Short | None, Meta(description="What a heartbeat of the agent said that it runs.")
    ] = None
    heartbeat: Annotated[
        Literal["Fresh", "Lost"] | None,
        Meta(
            description="Fresh, or Lost where none came for three intervals. Left out before the "
            "first."
        ),
    ] = None
    upgrade: Upgrade | None = None
    conditions: Annotated[
        tuple[Condition, ...], Meta(description="How it stands, in kstatus' words and ours.")
    ] = ()
    past: Annotated[
        tuple[Upgrade, ...], Meta(description="Older orders, oldest first.", max_length=PAST_KEPT)
    ] = ()
    highest_generation: Annotated[
        int,
        Meta(description="The highest of any order known here.", extra_json_schema=_INT64),
    ] = 0
    journal_id: Annotated[
        Short | None, Meta(description="The device's journal, as it said last.")
    ] = None
    seq: Annotated[
        int,
        Meta(description="Of the last that the device said of itself.", extra_json_schema=_INT64),
    ] = -1
    acted_on: ActedOn | None = None
    history: Annotated[
        tuple[HistoryEntry, ...],
        Meta(
            description="What happened to it, oldest first; the last entries only.",
            max_length=HISTORY_KEPT,
        ),
    ] = ()
    revision: Annotated[
        int,
        Meta(
            description="The resourceVersion that the record was last written over.",
            extra_json_schema=_INT64,
        ),
    ] = 0
    schema: Annotated[
        int,
        Meta(
            description="Of this status: an operator that does not know it leaves the Device as "
            "it is.",
            extra_json_schema=_INT64,
        ),
    ] = SCHEMA


class ReleaseArtifact(Wire, frozen=True, kw_only=True):
    """One file of a release."""

    platform: Annotated[Literal["noarch"], Meta(description="What it runs on; noarch: any.")] = (
        "noarch"
    )
    url: Annotated[
        str,
        Meta(
            description="Where devices download it, http or https, without credentials.",
            pattern="^https?://[^ @]+$",
            max_length=2048,
            extra_json_schema=_or("a URL here is http:// or https://, without credentials"),
        ),
    ] = ""
    file: Annotated[
        str,
        Meta(
            description="Its name below the operator's own /artifacts, where it was sent there.",
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
            max_length=255,
            extra_json_schema=_or("a file's name is of letters, digits, '.', '_' and '-'"),
        ),
    ] = ""
    size_bytes: SizeBytes
    sha256: Annotated[
        str,
        Meta(
            description="Of its bytes, in lower-case hexadecimal, as sha256sum says it.",
            pattern=_SHA256,
            max_length=64,
            extra_json_schema=_or("a SHA-256 is 64 digits, 0 to 9 and a to f"),
        ),
    ]


class Withdrawn(Wire, frozen=True):
    """That nobody shall get it any more."""

    reason: Annotated[
        str, Meta(description="Why, for whoever orders it.", min_length=1, max_length=1024)
    ]


class AgentReleaseSpec(Wire, frozen=True):
    """A version of the agent, and its files."""

    version: Annotated[
        str,
        Meta(
            description="What Devices ask for in spec.version. The object is called as it. Never "
            "changed.",
            pattern=_VERSION,
            max_length=63,
            extra_json_schema=_NO_VERSION,
        ),
    ]
    artifacts: Annotated[
        tuple[ReleaseArtifact, ...],
        Meta(description="Its files: one, which runs on any platform.", min_length=1, max_length=1),
    ]
    python: Annotated[
        str,
        Meta(description="Which Python it demands of a device, such as >=3.11.", max_length=64),
    ] = ""
    withdrawn: Annotated[
        Withdrawn | None,
        Meta(description="Where it is said, no new order names it. Those under way go on."),
    ] = None


class AgentReleaseStatus(Wire, frozen=True):
    """Whether it can be ordered. Written by the operator alone."""

    observed_generation: Annotated[
        int,
        Meta(
            description="The metadata.generation that the conditions are about.",
            extra_json_schema=_INT64,
        ),
    ] = -1
    conditions: Annotated[
        tuple[Condition, ...], Meta(description="How it stands, in kstatus' words.")
    ] = ()


_VERBS: Final = ["delete", "get", "global_list", "list", "patch", "post", "put", "watch"]


def _info(kind: str, plural: str) -> ApiInfo:
    return ApiInfo(resource=ResourceDef(GROUP, VERSION, kind), plural=plural, verbs=_VERBS)


def _status_info(kind: str, plural: str) -> ApiInfo:
    resource = ResourceDef(GROUP, VERSION, kind)
    return ApiInfo(
        resource=resource,
        parent=resource,
        plural=plural,
        verbs=["get", "patch", "put"],
        action="status",
    )


class Device(Wire, NamespacedResourceG, frozen=True):
    """One device of the fleet, and the agent's version that it shall run."""

    apiVersion: str = ""  # noqa: N815 - lightkube's name
    kind: str = ""
    metadata: Metadata = Metadata()
    spec: DeviceSpec = DeviceSpec()
    status: DeviceStatus | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "apiVersion", API_VERSION)  # written, though always the same
        force_setattr(self, "kind", "Device")


class DeviceUnderStatus(Device, NamespacedSubResource, frozen=True):
    """Its status alone, as it is written."""


class AgentRelease(Wire, NamespacedResourceG, frozen=True, kw_only=True):
    """One version of the agent. Its bytes never change."""

    apiVersion: str = ""  # noqa: N815 - lightkube's name
    kind: str = ""
    metadata: Metadata = Metadata()
    spec: AgentReleaseSpec
    status: AgentReleaseStatus | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "apiVersion", API_VERSION)
        force_setattr(self, "kind", "AgentRelease")


class AgentReleaseUnderStatus(AgentRelease, NamespacedSubResource, frozen=True, kw_only=True):
    """Its status alone, as it is written."""


Device._api_info = _info("Device", "devices")
DeviceUnderStatus._api_info = _status_info("Device", "devices")
AgentRelease._api_info = _info("AgentRelease", "agentreleases")
AgentReleaseUnderStatus._api_info = _status_info("AgentRelease", "agentreleases")
