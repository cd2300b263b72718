"""The CustomResourceDefinitions, made from the types in `objects`: `definitions()`.

What JSON Schema says in its own ways is said here as Kubernetes wants it: a structural schema, in
one piece, with the rules in CEL that no schema can say.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from harmony_fleet.operator.kubernetes.names import GROUP, VERSION
from harmony_fleet.operator.kubernetes.objects import SENTENCE, AgentRelease, Device

Schema = dict[str, Any]
_REF: Final = "#/$defs/"
_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
)
_NAMED: Final = (
    "has(self.spec) && has(self.spec.deviceId) || "
    "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')"
)
_NAMED_ALIKE: Final = (
    "!has(self.spec) || !has(self.spec.deviceId) || "
    "self.spec.deviceId.contains('_') || self.spec.deviceId == self.metadata.name"
)
_AS_ITS_VERSION: Final = (
    "self.metadata.name == self.spec.version || !self.spec.version.matches("
    "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')"
)
_PART: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_KEYS: Final = (
    f"self.all(key, key.size() <= 317 && key.matches('^({_PART}([.]{_PART})*/)?"
    "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))"
)
_SAME_DEVICE: Final = (
    "(has(self.deviceId) ? self.deviceId : '') == (has(oldSelf.deviceId) ? oldSelf.deviceId : '')"
)
_SAME_BYTES: Final = (
    "self.artifacts.all(a, oldSelf.artifacts.all(b, a.platform != b.platform || "
    "a.sha256 == b.sha256))"
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """1: only where `kubectl get -o wide` is said."""


@dataclass(frozen=True, slots=True)
class Rule:
    cel: str
    demands: str
    field: str = ""
    """Which field below its place the refusal names; empty: the place itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    type: type[msgspec.Struct]
    plural: str
    short_names: Sequence[str]
    columns: Sequence[Column]
    rules: Mapping[str, Sequence[Rule]]
    """By the place in the object: empty for its root."""
    selectable: Sequence[str]


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


DEVICE: Final = Kind(
    Device,
    "devices",
    ("fdev",),
    (
        Column("Desired", ".spec.version"),
        Column("Current", ".status.currentVersion"),
        Column("Phase", ".status.upgrade.phase"),
        Column("Ready", _condition("Ready", "status")),
        Column("Reason", _condition("Ready", "reason")),
        Column("Online", _condition("Online", "status")),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("In-Phase", ".status.upgrade.since", "date", 1),
        Column("Paused", ".spec.paused", "boolean", 1),
        Column("Message", _condition("Ready", "message"), priority=1),
    ),
    {
        "": (
            Rule(
                _NAMED,
                "the name is no device id: say which device it is in spec.deviceId",
            ),
            Rule(
                _NAMED_ALIKE,
                "a Device is called as its device, unless that has an underscore in its id",
                ".spec.deviceId",
            ),
        ),
        "spec": (
            Rule(
                _SAME_DEVICE,
                "deviceId never changes: delete this Device, and create another",
                ".deviceId",
            ),
        ),
        "spec.labels": (
            Rule(
                _KEYS,
                "a label's key is a name of at most 63 letters, digits, '-', '_' and '.', with a "
                "letter or a digit at both ends; a DNS name and a '/' may stand before it",
            ),
        ),
    },
    (
        *(".spec.version", ".spec.paused"),
        *(".status.currentVersion", ".status.heartbeat", ".status.upgrade.phase"),
    ),
)
AGENT_RELEASE: Final = Kind(
    AgentRelease,
    "agentreleases",
    ("frel",),
    (
        Column("Version", ".spec.version"),
        Column("Size", ".spec.artifacts[0].sizeBytes", "integer"),
        Column("Ready", _condition("Ready", "status")),
        Column("Reason", _condition("Ready", "reason")),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("SHA256", ".spec.artifacts[0].sha256", priority=1),
        Column("Message", _condition("Ready", "message"), priority=1),
    ),
    {
        "": (
            Rule(
                _AS_ITS_VERSION,
                "an AgentRelease is called as its version: say the same in metadata.name",
                ".spec.version",
            ),
        ),
        "spec": (
            Rule(
                "self.version == oldSelf.version",
                "a release's version never changes: create another AgentRelease",
                ".version",
            ),
            Rule(
                _SAME_BYTES,
                "a version's bytes never change: build the new ones under a new version",
                ".artifacts",
            ),
        ),
        "spec.artifacts.items": (
            Rule("has(self.url) || has(self.file)", "say where the file is: url, or file"),
        ),
    },
    (".spec.version",),
)


def definitions() -> Sequence[Schema]:
    """As YAML or JSON may hold them."""
    return [_definition(DEVICE), _definition(AGENT_RELEASE)]


def _definition(kind: Kind) -> Schema:
    name = kind.type.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["harmony-fleet"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema(kind)},
                    "subresources": {"status": {}} if "status" in _fields(kind) else {},
                    "additionalPrinterColumns": [_column(one) for one in kind.columns],
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                }
            ],
        },
    }


def _column(column: Column) -> Schema:
    found: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return found | ({"priority": column.priority} if column.priority else {})


def _fields(kind: Kind) -> Sequence[str]:
    return kind.type.__struct_encode_fields__


def _schema(kind: Kind) -> Schema:
    document = msgspec.json.schema(kind.type)
    made = _structural(document, document["$defs"])
    made["properties"] |= {"metadata": {"type": "object"}}
    if "status" in _fields(kind):
        made["properties"]["status"]["default"] = {"observedGeneration": -1}
    for place, rules in kind.rules.items():
        _at(made, place)["x-kubernetes-validations"] = [_rule(rule) for rule in rules]
    return made


def _rule(rule: Rule) -> Schema:
    made: Schema = {"rule": rule.cel, "message": rule.demands}
    return made | ({"fieldPath": rule.field} if rule.field else {})


def _at(schema: Schema, place: str) -> Schema:
    for part in filter(None, place.split(".")):
        schema = schema["items"] if part == "items" else schema["properties"][part]
    return schema


def _structural(schema: Schema, named: Schema) -> Schema:
    schema = _resolved(schema, named)
    made: Schema = {key: deepcopy(schema[key]) for key in _KEPT if key in schema}
    if SENTENCE in schema:
        # Beside a rule a pattern would be tried first, and refuse in its own words.
        cel = f"self.matches(r'{made.pop('pattern')}')"
        made["x-kubernetes-validations"] = [_rule(Rule(cel, schema[SENTENCE]))]
    if "enum" in made:
        made["type"] = "string"
    if made.get("type") == "boolean" or "enum" in made:
        made |= {"default": schema["default"]} if schema.get("default") is not None else {}
    if "properties" in schema:
        made["properties"] = {k: _structural(v, named) for k, v in schema["properties"].items()}
        made |= {"required": list(schema["required"])} if schema.get("required") else {}
    elif isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(schema["additionalProperties"], named)
    if "items" in schema:
        made["items"] = _structural(schema["items"], named)
        made |= _list_map(made["items"])
    return made


def _resolved(schema: Schema, named: Schema) -> Schema:
    """Without references, and without `null`: what is not there is left out."""
    if "anyOf" in schema:
        (other,) = (one for one in schema["anyOf"] if one.get("type") != "null")
        schema = {**other, **{k: v for k, v in schema.items() if k not in {"anyOf", "default"}}}
    if "$ref" in schema:
        target = named[schema["$ref"].removeprefix(_REF)]
        return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _list_map(items: Schema) -> Schema:
    """A list that is merged by a key, where its entries have one."""
    keys = [key for key in ("type", "platform") if key in items.get("properties", {})]
    if not keys:
        return {}
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
