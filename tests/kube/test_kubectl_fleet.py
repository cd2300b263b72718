"""`kubectl fleet` as a user types it: a real kubectl, a real API server, an operator behind it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import TOKEN, KubeFleet, kube_fleet
from tests.kube.outside import behind_a_service, free_port, outside_loopback
from tests.processes.api_world import artifact

from harmony_fleet.messaging.trust import plane_context

pytestmark = pytest.mark.kube

PAGE = Path(__file__).resolve().parents[2] / "docs/kubectl-fleet.md"
USER = "user"


def documented_role() -> dict[str, Any]:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@dataclass
class User:
    """Somebody with a role in the operator's namespace, and with nothing else."""

    fleet: KubeFleet
    kubeconfig: Path
    role: dict[str, Any] = field(default_factory=documented_role)

    @classmethod
    def made(cls, fleet: KubeFleet) -> "User":
        fleet.kubectl("create", "serviceaccount", USER)
        made = cls(fleet, fleet.kube.kubeconfig_of_account(fleet.namespace, USER))
        name, subject = made.role["metadata"]["name"], f"{fleet.namespace}:{USER}"
        made.allow(made.role["rules"])
        fleet.kubectl(
            "create", "rolebinding", USER, f"--role={name}", f"--serviceaccount={subject}"
        )
        return made

    def allow(self, rules: list[dict[str, Any]]) -> None:
        self.fleet.kubectl("apply", "-f", "-", document=self.role | {"rules": rules})

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """kubectl finds the plugin on PATH."""
        environment = dict(self.fleet.kube.environment(self.kubeconfig))
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        argv = [str(self.fleet.kube.programs / "kubectl"), "fleet", *words]
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def document(self, *words: str) -> Any:
        ran = self(*words, "--json")
        assert (ran.returncode, ran.stderr) == (0, "")
        return json.loads(ran.stdout)

    def error(self, *words: str) -> dict[str, str]:
        ran = self(*words, "--json")
        assert (ran.returncode, ran.stdout) == (1, "")
        found: dict[str, str] = json.loads(ran.stderr)["error"]
        return found

    def is_served(self) -> bool:
        """A replica leads, and has heard the device."""
        ran = self("device", "list", "--json")
        devices = json.loads(ran.stdout)["devices"] if ran.returncode == 0 else []
        return any(one["online"] for one in devices)


@pytest.fixture
def address() -> Iterator[str]:
    with outside_loopback() as given:
        yield given


def with_an_operator(
    kube: KubeCluster,
    namespace: str,
    folder: Path,
    address: str,
    use: Callable[[User], Awaitable[None]],
    protocol: str = "https",
) -> None:
    """With one device."""
    certificate = folder / "operator.pem"
    certificate.write_bytes(
        kube.pki.key("server").read_bytes() + kube.pki.certificate("server").read_bytes()
    )

    async def run() -> None:
        async with kube_fleet(kube, namespace, folder, ["pi-1"]) as fleet:
            fleet.address = address
            secured = {"certificate": str(certificate)} if protocol == "https" else {}
            fleet.api = {"port": free_port(address), **secured}
            fleet.operator()
            await asyncio.to_thread(behind_a_service, fleet, protocol)
            user = await asyncio.to_thread(User.made, fleet)
            await fleet.until(user.is_served)
            await use(user)

    asyncio.run(run())


def test_a_user_looks_upgrades_asks_why_and_adds_a_release(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    async def use(user: User) -> None:
        await asyncio.to_thread(user.fleet.add_releases)
        listed = await asyncio.to_thread(user, "device", "list")
        assert "pi-1" in listed.stdout
        words = ("upgrade", "pi-1", "--to", "1.1.0", "--wait", "--timeout", "60")
        ordered = await asyncio.to_thread(user, *words)
        assert ordered.returncode == 0, f"{ordered.stdout}{ordered.stderr}"
        assert ordered.stderr == ""
        assert "1 succeeded" in ordered.stdout
        assert user.fleet.light.devices["pi-1"].running == "1.1.0"
        assert user.fleet.device("pi-1")["spec"]["version"] == "1.1.0"
        why = await asyncio.to_thread(user, "why", "pi-1")
        assert "1.1.0" in why.stdout
        labelled = await asyncio.to_thread(user, "device", "label", "pi-1", "ring=canary")
        assert labelled.returncode == 0
        selected = await asyncio.to_thread(user.document, "device", "list", "-l", "ring=canary")
        assert [one["device_id"] for one in selected["devices"]] == ["pi-1"]
        file = artifact(tmp_path / "agent", "5.0.0", salt="x" * 8_000_000)
        added = await asyncio.to_thread(user, "release", "add", str(file))
        assert (added.returncode, added.stderr) == (0, "")
        release = json.loads(user.fleet.kubectl("get", "agentrelease", "5.0.0", "-o", "json"))
        assert release["spec"]["artifacts"][0]["sizeBytes"] == file.stat().st_size

    with_an_operator(cluster, namespace, tmp_path, address, use, "http")


def test_each_rule_of_the_documented_role_is_needed_and_each_refusal_says_what_for(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    async def use(user: User) -> None:
        rules = user.role["rules"]
        for number, named in enumerate(('services "harm', 'secrets "harm', 'services "https:harm')):
            await asyncio.to_thread(user.allow, rules[:number] + rules[number + 1 :])
            await user.fleet.until(lambda: user("device", "list").returncode == 1)
            error = await asyncio.to_thread(user.error, "device", "list")
            assert error["kind"] == "forbidden"
            assert named in error["message"]
            assert "docs/kubectl-fleet.md" in error["message"]
        looking = [*rules[:-1], rules[-1] | {"verbs": ["get"]}]
        await asyncio.to_thread(user.allow, looking)
        await user.fleet.until(user.is_served)
        for words in (
            ("upgrade", "pi-1", "--to", "1.1.0"),
            ("device", "label", "pi-1", "a=b"),
            ("release", "add", str(artifact(tmp_path / "agent", "5.0.0"))),
            ("release", "withdraw", "1.1.0", "--reason", "none"),
            ("device", "pause", "pi-1"),
        ):
            assert (await asyncio.to_thread(user.error, *words))["kind"] == "forbidden", words

    with_an_operator(cluster, namespace, tmp_path, address, use)


def test_a_pause_is_the_same_wish_by_the_command_line_and_in_the_device(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    async def use(user: User) -> None:
        fleet = user.fleet

        def spec() -> dict[str, Any]:
            found: dict[str, Any] = fleet.device("pi-1")["spec"]
            return found

        def shown() -> bool:
            return bool(user.document("device", "show", "pi-1")["paused"])

        async def patch(**spec: Any) -> None:
            words = ("patch", "device", "pi-1", "--type=merge", "-p", json.dumps({"spec": spec}))
            await fleet.run(*words)

        await asyncio.to_thread(fleet.add_releases)
        ran = await asyncio.to_thread(user, "device", "pause", "pi-1")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "pi-1  paused\n", "")
        assert spec()["paused"] is True
        refused = await asyncio.to_thread(user, "upgrade", "pi-1", "--to", "1.1.0")
        assert refused.returncode == 2
        assert "`kubectl fleet device resume pi-1`" in refused.stderr
        assert "version" not in spec()
        await patch(version="1.1.0")
        await fleet.until(lambda: fleet.condition("pi-1", "Ready").get("reason") == "Paused")

        let_go = fleet.hold("pi-1")
        await patch(paused=False)
        await fleet.until(lambda: fleet.phase("pi-1") == "Verifying")
        assert not await asyncio.to_thread(shown)
        ran = await asyncio.to_thread(user, "device", "pause", "-l", "!ring")
        assert ran.stdout == "pi-1  paused; its upgrade to 1.1.0 goes on\n"
        await patch(paused=False)
        let_go.set()
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.1.0"
        assert not spec().get("paused", False), "kubectl said so last"

        await patch(paused=True)
        await fleet.until(shown)
        ran = await asyncio.to_thread(user, "device", "resume", "--all")
        assert (ran.returncode, ran.stdout) == (0, "pi-1  resumed\n")
        assert not spec().get("paused", False)

    with_an_operator(cluster, namespace, tmp_path, address, use, "http")


def test_a_withdrawal_is_the_same_wish_by_the_command_line_and_in_the_release(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    async def use(user: User) -> None:
        fleet, why = user.fleet, "it eats the disk"

        def spec() -> dict[str, Any]:
            found = json.loads(fleet.kubectl("get", "agentrelease", "1.1.0", "-o", "json"))
            return dict(found["spec"])

        async def patch(withdrawn: dict[str, str] | None) -> None:
            document = json.dumps({"spec": {"withdrawn": withdrawn}})
            await fleet.run("patch", "agentrelease", "1.1.0", "--type=merge", "-p", document)

        await asyncio.to_thread(fleet.add_releases)
        before = spec()
        ran = await asyncio.to_thread(user, "release", "withdraw", "1.1.0", "--reason", why)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert spec() == before | {"withdrawn": {"reason": why}}
        refused = await asyncio.to_thread(user, "upgrade", "pi-1", "--to", "1.1.0")
        assert refused.returncode == 2
        assert f"release 1.1.0 was withdrawn: {why}" in refused.stderr
        file = before["artifacts"][0]
        elsewhere = ("--url", "https://files.example/a", "--sha256", file["sha256"])
        words = ("release", "add", "1.1.0", *elsewhere, "--size", str(file["sizeBytes"]))
        ran = await asyncio.to_thread(user, *words)
        assert ran.returncode == 0, ran.stderr
        assert "it is withdrawn all the same" in ran.stderr
        assert spec()["withdrawn"] == {"reason": why}
        assert spec()["artifacts"][0]["url"] == "https://files.example/a"

        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.until(
            lambda: fleet.condition("pi-1", "Stalled").get("reason") == "ReleaseWithdrawn"
        )
        await patch(None)
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.1.0"

        await patch({"reason": why})
        shown = await asyncio.to_thread(user.document, "release", "show", "1.1.0")
        assert shown["withdrawn"] == why
        ran = await asyncio.to_thread(user, "release", "withdraw", "1.1.0", "--undo")
        assert (ran.returncode, ran.stdout) == (0, "release 1.1.0 may be ordered again\n")
        assert "withdrawn" not in spec()

    with_an_operator(cluster, namespace, tmp_path, address, use, "http")


def test_the_operator_is_told_apart_from_what_stands_before_it(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    async def use(user: User) -> None:
        fleet = user.fleet
        unknown = await asyncio.to_thread(user, "device", "show", "nobody", "--json")
        assert json.loads(unknown.stderr)["error"]["kind"] == "unknown_device"
        elsewhere = await asyncio.to_thread(user.error, "device", "list", "-n", "default")
        assert elsewhere["kind"] == "forbidden"
        admin = User(fleet, fleet.kube.kubeconfig)  # by a certificate
        words = ("device", "list", "-n", fleet.namespace)
        assert (await asyncio.to_thread(admin.document, *words))["devices"]
        absent = await asyncio.to_thread(admin.error, "device", "list", "-n", "default")
        assert absent["kind"] == "no_operator"
        fleet.operators[0].stop(9)
        gone = await asyncio.to_thread(user.error, "device", "list")
        assert gone["kind"] == "no_replica"
        assert "connection refused" in gone["message"]
        fleet.operator()
        await fleet.until(lambda: user.fleet.operators[1].words().count("answers on") == 1)
        found = await asyncio.to_thread(user, "device", "list")  # waits until one leads
        assert (found.returncode, found.stderr) == (0, "")

    with_an_operator(cluster, namespace, tmp_path, address, use)


def test_the_name_that_the_api_server_is_called_by_is_no_matter_of_the_operator(
    cluster: KubeCluster, namespace: str, tmp_path: Path, address: str
) -> None:
    """It passes the request's own Host on, which may be any name."""

    async def use(user: User) -> None:
        context = plane_context(cluster.pki.ca)
        context.load_cert_chain(cluster.pki.certificate("admin"), cluster.pki.key("admin"))
        proxy = f"/api/v1/namespaces/{namespace}/services/https:harmony-fleet:api/proxy"
        host = {"Host": "api.cluster.example:6443"}
        with httpx.Client(base_url=cluster.url, verify=context, trust_env=False) as http:

            def get(**headers: str) -> httpx.Response:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return http.get(f"{proxy}/api/v1/devices", headers=host | named)

            assert (await asyncio.to_thread(get, Fleet_Token=TOKEN)).status_code == 200
            assert (await asyncio.to_thread(get, Fleet_Token="wrong")).status_code == 401
            bearer = await asyncio.to_thread(get, Authorization=f"Bearer {TOKEN}")
            assert bearer.status_code in {400, 401}

    with_an_operator(cluster, namespace, tmp_path, address, use)


def test_the_page_says_nothing_of_a_role_that_is_not_tried() -> None:
    assert os.fspath(PAGE).endswith("docs/kubectl-fleet.md")
    assert [rule["resources"] for rule in documented_role()["rules"]] == [
        ["services"],
        ["secrets"],
        ["services/proxy"],
    ]
