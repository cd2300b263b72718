"""What a transient unit takes over from the permanent one."""

from harmony_fleet.agent.upgrade.systemd_settings import (
    Kind,
    Transient,
    command,
    service_settings,
)

UNIT = """\
# /etc/systemd/system/fleet-agent.service
[Unit]
Description=not this one
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStartPre=-/usr/bin/timeout -k 2 20 /usr/local/lib/fleet-agent/previous guard
ExecStart=/usr/local/bin/fleet-agent
Restart=always
RestartSec=200ms
TimeoutStopSec=20
WatchdogSec=30
# a comment
Environment="A=b c" \\
  # a comment between continued lines
  D=e
ProtectHome = yes

# /etc/systemd/system/fleet-agent.service.d/site.conf
[Service]
Environment=
Environment=F=g
MemoryMax=200M
[Install]
WantedBy=multi-user.target
"""
SELF_TEST = Transient("t.service", Kind.ONESHOT, ("/bin/v1", "--self-test"), 60.0)
CANDIDATE = Transient("c.service", Kind.NOTIFY, ("/bin/v1", "candidate"), 30.0, 2250.0)


def settings_of(transient: Transient, unit: str = UNIT) -> list[str]:
    argv = command(transient, service_settings(unit))
    return [argv[at + 1] for at, word in enumerate(argv) if word == "-p"]


def test_sandbox_environment_and_limits_are_carried_over_in_their_order() -> None:
    carried = ['Environment="A=b c"     D=e', "ProtectHome=yes"]
    carried += ["Environment=", "Environment=F=g", "MemoryMax=200M"]
    assert [" ".join(one.split()) for one in settings_of(SELF_TEST)[:5]] == [
        " ".join(one.split()) for one in carried
    ]


def test_how_the_permanent_unit_starts_and_is_started_again_is_not() -> None:
    assert settings_of(SELF_TEST)[5:] == ["TimeoutStartSec=60", "TimeoutStopSec=5"]


def test_what_may_be_executed_is_a_part_of_the_sandbox_and_no_command() -> None:
    unit = "[Service]\nNoExecPaths=/\nExecPaths=/usr\nExecStop=/bin/x\nExecStartPost=/bin/y\n"
    assert settings_of(SELF_TEST, unit)[:3] == [
        "NoExecPaths=/",
        "ExecPaths=/usr",
        "TimeoutStartSec=60",
    ]


def test_a_candidate_has_the_watchdog_of_the_permanent_unit_and_an_end_of_its_own() -> None:
    own = ["TimeoutStartSec=30", "TimeoutStopSec=5", "RuntimeMaxSec=2250", "WatchdogSec=30"]
    assert settings_of(CANDIDATE)[5:] == own
    assert settings_of(CANDIDATE, "[Service]\nWatchdogSec=30\nWatchdogSec=\n") == own[:3]


def test_the_program_stands_behind_all_settings_whatever_its_arguments_look_like() -> None:
    argv = command(SELF_TEST, service_settings(UNIT))
    assert argv[:5] == [
        "systemd-run",
        "--quiet",
        "--collect",
        "--unit=t.service",
        "--service-type=oneshot",
    ]
    assert argv[-3:] == ["--", "/bin/v1", "--self-test"]


def test_a_folder_in_run_that_both_have_outlives_the_transient_unit() -> None:
    settings = settings_of(SELF_TEST, "[Service]\nRuntimeDirectory=fleet-agent\n")
    assert settings[:2] == ["RuntimeDirectory=fleet-agent", "RuntimeDirectoryPreserve=yes"]


def test_what_stands_in_no_service_section_is_no_setting() -> None:
    assert service_settings("Environment=A=b\n[Unit]\nNice=5\n[Service]\nrubbish\n") == ()
    assert service_settings("") == ()
