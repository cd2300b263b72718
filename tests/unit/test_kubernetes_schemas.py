"""The definitions in the cluster: structural, with the defaults that are meant, as strict as we."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.kubernetes_cases import DEVICE_IDS, VERSIONS

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import MAX_URL_LENGTH, MAX_VERSION_LENGTH, check_url
from harmony_fleet.labels import check_key
from harmony_fleet.operator.kubernetes.names import API_VERSION, object_name
from harmony_fleet.operator.kubernetes.objects import (
    AgentRelease,
    AgentReleaseSpec,
    Device,
    ReleaseArtifact,
)
from harmony_fleet.operator.kubernetes.schemas import Schema, definitions

DEVICES, RELEASES = definitions()
KEYWORDS: Final = {
    *("description", "type", "format", "enum", "pattern", "default", "required"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
    *("properties", "additionalProperties", "items"),
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}
"""That a structural schema may hold, of those that are used here."""
FROM_KUBERNETES: Final = {"apiVersion", "kind", "metadata"}


def root(definition: Schema) -> Schema:
    (version,) = definition["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def nodes(schema: Schema, place: str = "") -> Iterator[tuple[str, Schema]]:
    """Each schema in it, with its place such as `spec.artifacts[].url`."""
    yield place.removeprefix("."), schema
    for name, one in schema.get("properties", {}).items():
        yield from nodes(one, f"{place}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{place}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{place}{{}}")


def at(definition: Schema, place: str) -> Schema:
    return dict(nodes(root(definition)))[place]


def pattern(schema: Schema) -> str:
    """Where a sentence stands for it, it is in the rule."""
    if "pattern" in schema:
        return str(schema["pattern"])
    (rule,) = schema["x-kubernetes-validations"]
    found = re.fullmatch(r"self\.matches\(r'(.*)'\)", rule["rule"])
    assert found
    return found[1]


def every() -> list[tuple[str, Schema]]:
    return [*nodes(root(DEVICES)), *nodes(root(RELEASES))]


def test_there_is_one_for_each_kind_under_the_name_that_the_api_server_demands() -> None:
    assert [one["metadata"]["name"] for one in (DEVICES, RELEASES)] == [
        "devices.harmony-fleet.dev",
        "agentreleases.harmony-fleet.dev",
    ]
    for one, short in ((DEVICES, "fdev"), (RELEASES, "frel")):
        spec = one["spec"]
        assert spec["names"]["shortNames"] == [short]
        assert spec["names"]["categories"] == ["harmony-fleet"]
        assert spec["scope"] == "Namespaced"
        assert f"{spec['group']}/{spec['versions'][0]['name']}" == API_VERSION


@pytest.mark.parametrize(("place", "schema"), every())
def test_each_part_is_structural(place: str, schema: Schema) -> None:
    assert schema.keys() <= KEYWORDS, place
    assert isinstance(schema["type"], str), "one type, and no reference, nor a choice"
    if schema["type"] == "object" and place.removesuffix("metadata"):
        assert "properties" in schema or "additionalProperties" in schema
        assert not ("properties" in schema and "additionalProperties" in schema)
    if schema["type"] == "array":
        assert "items" in schema
    if schema["type"] == "integer" and "int64" not in schema.get("format", ""):
        pytest.fail(f"{place}: an integer without its width")


def test_every_field_of_ours_is_explained() -> None:
    def named(place: str) -> bool:
        return bool(place) and place.split(".", maxsplit=1)[0] not in FROM_KUBERNETES

    unexplained = [
        place
        for place, schema in every()
        if named(place) and not place.endswith("{}") and len(schema.get("description", "")) < 10
    ]
    assert unexplained == []


def test_the_defaults_are_those_that_are_meant() -> None:
    found = {
        kind: {place: one["default"] for place, one in nodes(root(kind_of)) if "default" in one}
        for kind, kind_of in (("Device", DEVICES), ("AgentRelease", RELEASES))
    }
    assert found == {
        "Device": {
            "spec.paused": False,
            "status": {"observedGeneration": -1},
            "status.upgrade.desired": "run",
            "status.upgrade.retry": False,
            "status.past[].desired": "run",
            "status.past[].retry": False,
        },
        "AgentRelease": {
            "spec.artifacts[].platform": "noarch",
            "status": {"observedGeneration": -1},
        },
    }


def test_a_default_that_is_left_out_is_read_as_itself() -> None:
    assert msgspec.json.decode(b"{}", type=Device) == Device()
    assert at(DEVICES, "status")["default"] == {"observedGeneration": -1}
    empty = msgspec.json.decode(b'{"status":{"observedGeneration":-1}}', type=Device)
    assert empty.status
    assert empty.status.observed_generation == -1


def test_lists_that_have_a_key_are_merged_by_it() -> None:
    maps = {
        place: one["x-kubernetes-list-map-keys"]
        for place, one in every()
        if one.get("x-kubernetes-list-type") == "map"
    }
    assert maps == {"status.conditions": ["type"], "spec.artifacts": ["platform"]}
    for place, one in every():
        for key in one.get("x-kubernetes-list-map-keys", ()):
            items = one["items"]
            has_one = key in items["required"] or "default" in items["properties"][key]
            assert has_one, f"{place}: an entry may be without its key {key}"


def test_a_status_is_a_subresource_so_that_who_writes_specs_does_not_write_it() -> None:
    for one in (DEVICES, RELEASES):
        assert one["spec"]["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize("definition", [DEVICES, RELEASES], ids=["devices", "releases"])
def test_columns_and_selectable_fields_are_fields_that_there_are(definition: Schema) -> None:
    version = definition["spec"]["versions"][0]
    fields = dict(nodes(root(definition)))
    for one in version["selectableFields"]:
        assert fields[one["jsonPath"].removeprefix(".")]["type"] in {"string", "boolean"}
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[[^]]*\]", "[]", column["jsonPath"]).removeprefix(".")
        assert path in fields or path == "metadata.creationTimestamp", column
    names = [column["name"] for column in version["additionalPrinterColumns"]]
    assert len(set(names)) == len(names)


def test_the_columns_say_first_what_people_look_for() -> None:
    shown = [
        column["name"]
        for column in DEVICES["spec"]["versions"][0]["additionalPrinterColumns"]
        if not column.get("priority")
    ]
    assert shown == ["Desired", "Current", "Phase", "Ready", "Reason", "Online", "Age"]


def test_what_is_required_is_what_cannot_be_read_without() -> None:
    assert "required" not in root(DEVICES)
    assert "required" not in at(DEVICES, "spec")
    assert root(RELEASES)["required"] == ["spec"]
    assert at(RELEASES, "spec")["required"] == ["version", "artifacts"]
    assert at(RELEASES, "spec.withdrawn")["required"] == ["reason"]


@pytest.mark.parametrize(("place", "schema"), every())
def test_each_rule_says_what_it_demands(place: str, schema: Schema) -> None:
    for rule in schema.get("x-kubernetes-validations", ()):
        assert rule.keys() - {"fieldPath"} == {"rule", "message"}
        assert len(rule["message"]) > 20
        field = rule.get("fieldPath", "").removeprefix(".")
        assert not field or f"{place}.{field}".removeprefix(".") in dict(every())


def test_a_pattern_in_what_people_write_refuses_in_a_sentence() -> None:
    """Patterns are left in what the operator writes alone."""
    assert [place for place, one in every() if "pattern" in one and place.startswith("spec")] == []


def test_what_a_rule_looks_at_has_a_bound_so_that_its_cost_has_one() -> None:
    for schema in (at(DEVICES, "spec.deviceId"), at(RELEASES, "spec.version")):
        assert schema["maxLength"] == 63
    assert at(RELEASES, "spec.artifacts")["maxItems"] == 1
    assert at(DEVICES, "spec.labels")["maxProperties"] == 64


def is_key(text: str) -> bool:
    try:
        return bool(check_key(text))
    except InvalidValue:
        return False


@given(st.text("aA0-_./", max_size=8))
@example("a" * 63)
@example("a" * 64)
@example(f"{'a' * 253}/b")
@example(f"{'a' * 255}/{'b' * 63}")
def test_a_labels_key_is_what_it_is_for_the_command_line(text: str) -> None:
    (rule,) = at(DEVICES, "spec.labels")["x-kubernetes-validations"]
    found = re.search(r"key.size\(\) <= (\d+) && key.matches\('(.*)'\)", rule["rule"])
    assert found
    assert (len(text) <= int(found[1]) and bool(re.search(found[2], text))) == is_key(text)


@given(VERSIONS)
@example("1.0.0-RC.1")
@example("1.0.0--.a")
def test_a_release_that_could_be_called_as_its_version_must_be(version: str) -> None:
    named = re.search(r"'(\^.*\$)'", root(RELEASES)["x-kubernetes-validations"][0]["rule"])
    assert named
    assert bool(re.search(named[1], version)) == (object_name(version) == version)


@given(VERSIONS)
@example("1.0.0-0.a-b.C-")
@example(f"1.0.0-{'a' * 57}")
def test_every_version_of_ours_is_taken(version: str) -> None:
    for schema in (at(RELEASES, "spec.version"), at(DEVICES, "spec.version")):
        assert schema["maxLength"] == MAX_VERSION_LENGTH
        assert re.search(pattern(schema), version) or version.endswith("-")


@pytest.mark.parametrize("text", ["1.0", "v1.0.0", "1.0.0+build", "1.0.0-", "01.0.0", "1.0.0-a..b"])
def test_what_is_no_version_is_refused_by_the_cluster_already(text: str) -> None:
    assert not re.search(pattern(at(DEVICES, "spec.version")), text)


@given(DEVICE_IDS)
def test_every_device_may_be_declared(device_id: str) -> None:
    schema = at(DEVICES, "spec.deviceId")
    assert re.search(pattern(schema), device_id)
    assert len(device_id) <= schema["maxLength"]
    named = re.search(r"'(\^.*\$)'", root(DEVICES)["x-kubernetes-validations"][0]["rule"])
    assert named
    is_name = re.search(named[1], object_name(device_id)) is not None
    assert is_name == (object_name(device_id) == device_id), "else the spec has to say it"


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://files.example/a", True),
        ("http://10.0.0.1:8080/a%20b?x=1", True),
        ("https://user:secret@files.example/a", False),
        ("ftp://files.example/a", False),
        ("https://files.example/a b", False),
    ],
)
def test_a_url_that_no_device_would_take_is_refused_by_the_cluster_already(
    url: str, taken: bool
) -> None:
    schema = at(RELEASES, "spec.artifacts[].url")
    assert schema["maxLength"] == MAX_URL_LENGTH
    assert bool(re.search(pattern(schema), url)) == taken
    if taken:
        assert check_url(url) == url


def decoded(kind: type[Any], value: dict[str, Any]) -> Any:
    return msgspec.convert(value, kind)


def test_a_release_is_read_with_the_defaults_that_its_definition_gives() -> None:
    artifact = {"url": "https://files.example/a", "sizeBytes": 10, "sha256": "a" * 64}
    one = decoded(AgentRelease, {"spec": {"version": "1.0.0", "artifacts": [artifact]}})
    file = ReleaseArtifact(url=artifact["url"], size_bytes=10, sha256="a" * 64)  # type: ignore[arg-type]
    assert one.spec == AgentReleaseSpec("1.0.0", (file,))
    assert file.platform == at(RELEASES, "spec.artifacts[].platform")["default"]
