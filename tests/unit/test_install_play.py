"""What Ansible is told, and what is made of what it says; without a host."""

import sys
from pathlib import Path

import pytest
import yaml

from harmony_fleet.cli.showing_install import State, not_heard, of_install, of_uninstall
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.install import ROLES, ansible
from harmony_fleet.install.ansible import AnsibleMissing, Outcome
from harmony_fleet.install.play_folder import Run, as_yaml, prepare
from harmony_fleet.install.report import read_report
from harmony_fleet.install.targets import Target

TARGET = Target("pi.example", "pi")


class Unsafe(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """As Ansible's own loader, it knows the tag of what is no template."""


Unsafe.add_constructor("!unsafe", lambda loader, node: ("unsafe", loader.construct_scalar(node)))


def test_no_text_of_ours_can_be_taken_for_a_template() -> None:
    value = {"a": "{{ lookup('pipe', 'id') }}", "b": ["ä\n\"'", 1, True, None], "c": {}, "d": ""}
    assert yaml.load(as_yaml(value), Unsafe) == {  # noqa: S506 - a safe loader
        "a": ("unsafe", "{{ lookup('pipe', 'id') }}"),
        "b": [("unsafe", "ä\n\"'"), 1, True, None],
        "c": {},
        "d": "",
    }


def test_an_inventory_s_own_variables_do_not_win_over_what_was_typed(tmp_path: Path) -> None:
    """Those of a play win over those of its hosts: ansible, *Understanding variable precedence*."""
    host = Target("pi.example", "pi", {"fleet_agent_state": "absent", "ansible_port": 22})
    prepare(tmp_path, Run((host,), {"fleet_agent_state": "present"}))
    (play,) = yaml.load((tmp_path / "playbook.yml").read_text(), Unsafe)  # noqa: S506 - safe
    inventory = yaml.load((tmp_path / "inventory.yml").read_text(), Unsafe)  # noqa: S506 - safe
    assert play["vars"] == {"fleet_agent_state": ("unsafe", "present")}
    assert inventory[play["hosts"]]["hosts"]["pi.example"]["ansible_port"] == 22


def test_without_ansible_the_command_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ansible", None)
    with pytest.raises(AnsibleMissing, match=r"pip install 'harmony-fleet\[install\]'"):
        ansible.require()


def test_every_task_has_a_name_and_every_variable_its_place_in_the_argument_specs() -> None:
    role = ROLES / "fleet_agent"
    for file in [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]:
        tasks = yaml.safe_load(file.read_text())
        inner = [one for task in tasks for one in task.get("block", ())]
        for task in [*tasks, *inner]:
            assert task.get("name"), f"{file}: {task}"
    specified = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
    options = specified["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    assert defaults.items() <= {k: v.get("default") for k, v in options.items()}.items()


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome(report={"starts": "1.0.0"}), State.UNCHANGED),
        (Outcome(("Write",), report={"starts": "1.0.0"}), State.INSTALLED),
        (Outcome(("Write",), report={"starts": "1", "took_over": True}), State.TAKEN_OVER),
        (Outcome(report={"starts": "1", "took_over": True}), State.UNCHANGED),
        (Outcome(("Write",), failed_task="Start"), State.FAILED),
        (Outcome(unreachable=True), State.FAILED),
        (Outcome(), State.FAILED),
    ],
)
def test_an_install_is_what_was_seen_of_it(outcome: Outcome, state: State) -> None:
    assert of_install(TARGET, outcome, check=False).state is state


def test_a_check_only_would_change() -> None:
    outcome = Outcome(("Write",), report={"starts": "1.0.0"})
    assert of_install(TARGET, outcome, check=True).state is State.WOULD_CHANGE


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome(report={"removed": []}), State.NOT_THERE),
        (Outcome(("Remove",), report={"removed": ["/x"]}), State.UNINSTALLED),
        (Outcome(("Remove",)), State.FAILED),
    ],
)
def test_an_uninstall_is_what_was_seen_of_it(outcome: Outcome, state: State) -> None:
    assert of_uninstall(TARGET, outcome, check=False).state is state


@pytest.mark.parametrize(
    "said",
    ["text", None, ["a"], {"starts": 1}, {"took_over": "yes"}, {"removed": "x"}, {"removed": [1]}],
)
def test_a_report_of_another_form_is_not_believed(said: object) -> None:
    with pytest.raises(InvalidValue, match="has another form"):
        read_report(said)


def test_of_a_report_only_what_is_known_is_taken() -> None:
    report = {"starts": "1.0.0", "took_over": True, "remark": "", "started": False}
    assert read_report({**report, "host": "other"}) == report


def test_what_ssh_complains_of_comes_with_what_to_do() -> None:
    outcome = Outcome(unreachable=True, message="ssh: Host key verification failed.\r\n")
    cause = of_install(TARGET, outcome, check=False).cause
    assert cause == ("ssh: Host key verification failed.: log in by ssh once, and check its key")


def test_a_sudo_that_wants_a_password_comes_with_what_to_do() -> None:
    """The whole sentence of the pinned ansible-core; a test on a machine sees it say that."""
    outcome = Outcome(failed_task="Look", message="Task failed: Missing sudo password")
    cause = of_install(TARGET, outcome, check=False).cause
    assert cause == (
        "Task failed: Missing sudo password: --become takes a sudo that asks for no password"
    )


def test_a_device_that_is_not_heard_says_itself_what_hinders_it() -> None:
    said = "ok     imports: 70 modules\nFAILED message plane: no contact with tls://x in 8 s\n"
    assert not_heard(60.0, said) == (
        "is installed, and was not heard within 60 s: message plane: no contact with tls://x in 8 s"
    )
    assert "journalctl -u fleet-agent" in not_heard(60.0, "ok     imports: 70 modules")
    assert "journalctl -u fleet-agent" in not_heard(60.0, "")
