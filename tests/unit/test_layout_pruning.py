"""Which versions go and which stay."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade.durable import temporary
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT
from harmony_fleet.agent.upgrade.pruning import superfluous, version_in
from harmony_fleet.asset.landing import partial_path
from harmony_fleet.contracts.identity import precedence
from harmony_fleet.testing.programs import write_program

VERSIONS = st.builds(
    "{}.{}.{}{}".format,
    *[st.integers(0, 3)] * 3,
    st.sampled_from(["", "-0", "-2", "-10", "-rc", "-rc.2", "-rc.10", "-rc-1.x"]),
)

PREFIX = "agent-v"

IN_ORDER = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.0",
    "1.10.0",
    "10.0.0-0",
]
"""From clause 11 of SemVer 2.0.0, and a few that only numbers put in order."""


def test_versions_go_by_the_precedence_of_semver() -> None:
    assert sorted(sorted(IN_ORDER), key=precedence) == IN_ORDER


@settings(deadline=None)
@given(st.sets(VERSIONS), st.frozensets(VERSIONS), st.integers(0, 5), st.lists(st.text()))
def test_what_is_kept_never_goes_and_what_is_not_ours_neither(
    versions: set[str], keep: frozenset[str], total: int, others: list[str]
) -> None:
    names = [PREFIX + version for version in versions | keep] + others
    gone = superfluous(names, PREFIX, keep, total)
    gone_versions = {version_in(name, PREFIX) for name in gone} - {None}
    assert gone_versions.isdisjoint(keep)
    assert all(name.removeprefix(".").startswith(PREFIX) for name in gone)
    staying = (versions | keep) - gone_versions
    assert len(staying) == min(len(versions | keep), max(total, len(keep)))
    lowest_free = min((precedence(v) for v in staying - keep), default=None)
    assert all(lowest_free is None or precedence(v or "") < lowest_free for v in gone_versions)


def layout_in(folder: Path, kept: int) -> Layout:
    paths = Paths(folder, folder / "fleet-agent", folder / "previous", folder / "state")
    return Layout(FLEET_AGENT, paths, versions_kept=kept)


def test_only_files_of_this_program_go(tmp_path: Path) -> None:
    layout = layout_in(tmp_path, kept=1)
    foreign = {
        "other-v0.1.0",
        "fleet-agent-v0.1",
        "fleet-agent-v0.1.0+build",
        "fleet-agent-0.1.0",
        "fleet-agent-v",
        ".fleet-agent-v0.1.0",
    }
    for name in ("fleet-agent-v0.1.0", "fleet-agent-v2.0.0", *foreign):
        write_program(tmp_path / name, "pass")
    layout.prune(frozenset())
    assert {path.name for path in tmp_path.iterdir()} == foreign | {"fleet-agent-v2.0.0"}


def test_what_was_left_of_a_version_goes_unless_the_version_stays(tmp_path: Path) -> None:
    layout = layout_in(tmp_path, kept=2)
    write_program(layout.path_of("1.0.0"), "pass")
    staying: list[Path] = []
    going: list[Path] = []
    for version, leftovers in (("1.0.0", staying), ("2.0.0-rc.1", staying), ("3.0.0-x", going)):
        destination = layout.path_of(version)
        leftovers += [partial_path(destination, "ab" * 32), temporary(destination)]
    for path in staying + going:
        path.write_bytes(b"half")
    layout.prune(frozenset({"2.0.0-rc.1"}))
    assert [path.exists() for path in staying] == [True] * 4
    assert [path.exists() for path in going] == [False] * 2


def test_pruning_never_raises(tmp_path: Path) -> None:
    layout_in(tmp_path / "missing", kept=1).prune(frozenset())
    layout = layout_in(tmp_path, kept=1)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        write_program(layout.path_of(version), "pass")
    layout.path_of("2.0.0").unlink()
    layout.path_of("2.0.0").mkdir()
    layout.prune(frozenset())
    assert layout.path_of("2.0.0").is_dir()
    assert not layout.path_of("1.0.0").exists()
