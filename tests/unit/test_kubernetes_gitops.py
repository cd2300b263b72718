"""What Helm, Flux and Argo CD make of a Device and of an AgentRelease, in each of their states."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime
from tests.unit.gitops_cases import GENERATION, STATES, Document, State, device, document_of
from tests.unit.kstatus import kstatus
from tests.unit.kubernetes_cases import RECORDS

CONFIG_MAP = Path(__file__).parents[2] / "deploy/argocd/argocd-cm.yaml"
HEALTH = "resource.customizations.health.harmony-fleet.dev_"
KINDS = ("Device", "AgentRelease")


def script(kind: str) -> str:
    text: str = yaml.safe_load(CONFIG_MAP.read_text())["data"][f"{HEALTH}{kind}"]
    return text


def health(document: Document) -> tuple[str, str]:
    """Status and message, in the dialect of Argo CD's interpreter (gopher-lua: Lua 5.1)."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    judge = lua.eval(f"function(obj) {script(document['kind'])} end")
    found: Any = judge(lua.table_from(document, recursive=True))
    return found.status, found.message


def named(state: State) -> str:
    return state.name


@pytest.mark.parametrize("state", STATES, ids=named)
def test_each_state_has_the_result_of_kstatus_that_is_meant(state: State) -> None:
    assert kstatus(state.document) == state.kstatus


@pytest.mark.parametrize("state", [one for one in STATES if one.argo], ids=named)
def test_each_state_has_the_health_that_is_meant_in_argo_cd(state: State) -> None:
    """One that is deleted is judged by Argo CD itself."""
    status, message = health(state.document)
    assert status == state.argo
    if status != "Progressing":
        ready = state.document["status"]["conditions"][0]
        assert message == ready["message"]


@given(RECORDS, st.sampled_from(["", "1.0.0", "2.0.0", "3.0.0"]), st.booleans())
def test_whatever_is_recorded_both_agree_and_say_healthy_of_what_is_ready_alone(
    record: Any, asked: str, acted: bool
) -> None:
    document = document_of(device(record, asked, acted))
    status, _message = health(document)
    found = kstatus(document)
    assert {
        "Healthy": "Current",
        "Progressing": "InProgress",
        "Suspended": "InProgress",
        "Degraded": "Failed",
    }[status] == found
    ready = document["status"]["conditions"][0]
    assert (found == "Current") == (ready["status"] == "True")
    document["metadata"]["generation"] = GENERATION + 1
    assert (kstatus(document), health(document)[0]) == ("InProgress", "Progressing")


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_a_status_is_judged_as_well(kind: str) -> None:
    document = {"kind": kind, "metadata": {"generation": 1}, "spec": {}}
    assert health(document)[0] == "Progressing"
    assert health(document | {"status": {"observedGeneration": 1}})[0] == "Progressing"


def test_the_patch_is_for_argo_cds_own_configuration_and_for_each_of_our_kinds() -> None:
    document = yaml.safe_load(CONFIG_MAP.read_text())
    assert (document["kind"], document["metadata"]["name"]) == ("ConfigMap", "argocd-cm")
    assert set(document["data"]) == {f"{HEALTH}{kind}" for kind in KINDS}
    assert script("Device") == script("AgentRelease")
