"""The preflight in the API, with a message plane that is away: who is asked, what is refused."""

from pathlib import Path
from typing import Any

import pytest
from tests.processes.api_world import ApiWorld, device, error_of, order, run

PATH = "/api/v1/preflight"


def test_devices_that_cannot_be_asked_are_unknown_and_nothing_is_ordered(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        answer = await world.client.post(PATH, json={"devices": None, "version": "2.0.0"})
        assert answer.status_code == 200
        document = answer.json()
        assert document["version"] == "2.0.0"
        assert [(r["device_id"], r["verdict"]) for r in document["results"]] == [
            ("a", "unknown"),
            ("b", "unknown"),
            ("busy", "failed"),
        ]
        first = document["results"][0]["checks"]
        assert [(c["name"], c["state"]) for c in first] == [("order", "ok"), ("answer", "unknown")]
        assert first[1]["detail"].startswith("no answer: ")
        busy = document["results"][2]["checks"][0]
        assert "already being upgraded to 3.0.0" in busy["detail"]
        stored = [one.record.order for one in await world.store.load_all()]
        assert [one.version for one in stored if one] == ["3.0.0"]

    run(tmp_path, test, device("a"), device("b"), device("busy", order=order("3.0.0")))


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"devices": ["a"]}, 400, "bad_request"),
        ({"version": "2.0.0"}, 400, "bad_request"),
        ({"devices": [], "version": "2.0.0"}, 400, "bad_request"),
        ({"devices": ["a"], "selector": "x", "version": "2.0.0"}, 400, "bad_request"),
        ({"devices": ["a"], "version": "2.0.0", "retry": True}, 400, "bad_request"),
        ({"devices": ["A"], "version": "2.0.0"}, 400, "invalid_value"),
        ({"devices": ["a"], "version": "2"}, 400, "invalid_value"),
        ({"devices": None, "selector": "=", "version": "2.0.0"}, 400, "invalid_value"),
        ({"devices": ["z"], "version": "2.0.0"}, 404, "unknown_device"),
        ({"devices": ["a"], "version": "9.9.9"}, 404, "unknown_release"),
        ({"devices": None, "selector": "x", "version": "2.0.0"}, 404, "nothing_selected"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(
    tmp_path: Path, body: dict[str, Any], status: int, kind: str
) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        assert error_of(await world.client.post(PATH, json=body))[:2] == (status, kind)

    run(tmp_path, test, device("a"))
