"""What everything that implements `ports.Versions` does, as plain functions that assert.

Give each of `CASES` a fresh `World`; `executor_suite` shows how, with pytest. An executor is a
Versions too: it has to pass both suites.
"""

from collections.abc import Callable
from typing import Protocol

from harmony_fleet.agent.upgrade.ports import UpgradeFault, Versions
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.upgrade import CauseKind

OLD, NEW = "1.9.0", "1.10.0"
"""In this order by number, and in the other one as text."""
TOTAL_KEPT = 3


class World(Protocol):
    """At first: the program that runs is installed as version OLD, and there is no link."""

    @property
    def versions(self) -> Versions:
        """Prunes to TOTAL_KEPT, and runs from OLD's file, which it holds open."""

    def install(self, version: str) -> str:
        """A complete, executable program as that version's file; its SHA-256.

        Whole by its own manifest, and no two calls give the same bytes.
        """

    def install_plainly(self) -> str:
        """The like, as a regular file at the link's place, and under no version."""

    def digest(self, version: str) -> str | None:
        """Of that version's file as it is now; None where there is none."""

    def digest_behind_link(self) -> str | None:
        """Of the program that a start of the service would run; None where that would fail."""

    def damage(self, version: str) -> None:
        """Change its bytes, as a bad disk would."""

    def remove(self, version: str) -> None: ...

    def attempt_is_open(self) -> bool: ...


Case = Callable[[World], None]


def name(case: Case) -> str:
    """The case as a sentence, for a test's id."""
    return case.__name__


# The link and `previous`


def at_first_nothing_leads_anywhere(world: World) -> None:
    assert world.versions.link_version() is None
    assert world.versions.previous_version() is None
    assert world.versions.link_gone()


def the_link_leads_where_it_was_swapped_to_and_back(world: World) -> None:
    new = world.install(NEW)
    for version, digest in ((OLD, world.digest(OLD)), (NEW, new), (NEW, new)):
        world.versions.swap_link(version)
        assert world.versions.link_version() == version
        assert world.digest_behind_link() == digest
    world.versions.swap_link(OLD)
    assert world.versions.link_version() == OLD
    assert not world.versions.link_gone()


def previous_and_the_link_are_two_things(world: World) -> None:
    world.install(NEW)
    world.versions.point_previous(OLD)
    assert (world.versions.previous_version(), world.versions.link_version()) == (OLD, None)
    world.versions.swap_link(NEW)
    world.versions.point_previous(OLD)
    assert (world.versions.previous_version(), world.versions.link_version()) == (OLD, NEW)


def nothing_is_led_to_a_version_that_is_not_there(world: World) -> None:
    world.versions.swap_link(OLD)
    _faults(lambda: world.versions.swap_link(NEW), CauseKind.DEVICE_FAULT)
    _faults(lambda: world.versions.point_previous(NEW), CauseKind.DEVICE_FAULT)
    assert (world.versions.link_version(), world.versions.previous_version()) == (OLD, None)


def a_text_that_is_no_version_is_refused(world: World) -> None:
    world.versions.swap_link(OLD)
    for text in ("../1.0.0", "1.0", "", "1.0.0/x", "1.0.0\n"):
        try:
            world.versions.swap_link(text)
        except FleetError:
            continue
        raise AssertionError(f"{text!r} was taken for a version")
    assert world.versions.link_version() == OLD


# The rollback target


def a_plain_install_is_kept_and_still_runs(world: World) -> None:
    plain = world.install_plainly()
    assert not world.versions.link_gone()
    world.versions.capture_revert_target(NEW)
    world.versions.capture_revert_target(NEW)
    assert (world.digest(NEW), world.digest_behind_link()) == (plain, plain)
    world.versions.check_target(NEW, plain)
    world.versions.swap_link(OLD)
    world.versions.swap_link(NEW)
    assert world.digest_behind_link() == plain


def a_plain_install_never_replaces_another_program_of_that_version(world: World) -> None:
    plain, other = world.install_plainly(), world.install(NEW)
    _faults(lambda: world.versions.capture_revert_target(NEW), CauseKind.DEVICE_FAULT)
    assert (world.digest(NEW), world.digest_behind_link()) == (other, plain)


def where_there_is_a_link_or_nothing_there_is_nothing_to_keep(world: World) -> None:
    world.versions.capture_revert_target(NEW)
    world.versions.swap_link(OLD)
    world.versions.capture_revert_target(NEW)
    assert world.digest(NEW) is None


def a_whole_target_passes_with_and_without_its_digest(world: World) -> None:
    new = world.install(NEW)
    world.versions.check_target(NEW, new)
    world.versions.check_target(NEW, None)


def a_damaged_target_does_not_pass(world: World) -> None:
    new = world.install(NEW)
    world.damage(NEW)
    _no_target(world, NEW, new)
    _no_target(world, NEW, None)


def a_whole_file_with_another_digest_is_no_target(world: World) -> None:
    new = world.install(NEW)
    world.install(NEW)
    _no_target(world, NEW, new)


def a_target_that_is_not_there_does_not_pass(world: World) -> None:
    new = world.install(NEW)
    world.remove(NEW)
    _no_target(world, NEW, new)
    _no_target(world, NEW, None)


def what_runs_writes_its_own_file_anew(world: World) -> None:
    own = world.digest(OLD)
    for harm in (world.damage, world.remove, world.damage):
        harm(OLD)
        world.versions.check_target(OLD, own)
        assert world.digest(OLD) == own
    world.versions.swap_link(OLD)


def without_a_digest_what_runs_writes_its_own_file_anew_too(world: World) -> None:
    own = world.digest(OLD)
    world.remove(OLD)
    world.versions.check_target(OLD, None)
    assert world.digest(OLD) == own


def what_runs_is_not_passed_off_for_another_digest(world: World) -> None:
    own, other = world.digest(OLD), world.install(NEW)
    _no_target(world, OLD, other)
    assert world.digest(OLD) == own


# The attempt, and what is kept


def an_attempt_is_opened_and_closed_however_often(world: World) -> None:
    assert not world.attempt_is_open()
    for step, is_open in (
        (world.versions.close_attempt, False),
        (world.versions.open_attempt, True),
        (world.versions.open_attempt, True),
        (world.versions.close_attempt, False),
        (world.versions.close_attempt, False),
    ):
        step()
        assert world.attempt_is_open() is is_open


def the_highest_versions_stay_by_number_not_by_text(world: World) -> None:
    everything = (OLD, "1.10.0", "1.10.0-rc.9", "1.10.0-rc.10", "1.2.0")
    _install(world, *everything[1:])
    world.versions.prune(frozenset({OLD}))
    assert _installed(world, everything) == {OLD, "1.10.0", "1.10.0-rc.10"}


def what_is_linked_or_to_be_kept_is_never_pruned(world: World) -> None:
    everything = (OLD, "0.1.0", "0.2.0", "0.3.0", "0.4.0", "2.0.0")
    _install(world, *everything[1:])
    world.versions.swap_link("0.1.0")
    world.versions.point_previous("0.2.0")
    world.versions.prune(frozenset({"0.3.0", OLD, "7.7.7"}))
    assert _installed(world, everything) == {OLD, "0.1.0", "0.2.0", "0.3.0"}


def nothing_is_pruned_while_an_attempt_is_open(world: World) -> None:
    everything = (OLD, "0.1.0", "0.2.0", "0.3.0", "0.4.0")
    _install(world, *everything[1:])
    world.versions.open_attempt()
    world.versions.prune(frozenset())
    assert _installed(world, everything) == set(everything)


def making_durable_changes_nothing(world: World) -> None:
    world.versions.make_durable()
    world.versions.swap_link(OLD)
    world.versions.make_durable()
    assert world.versions.link_version() == OLD


CASES: tuple[Case, ...] = (
    at_first_nothing_leads_anywhere,
    the_link_leads_where_it_was_swapped_to_and_back,
    previous_and_the_link_are_two_things,
    nothing_is_led_to_a_version_that_is_not_there,
    a_text_that_is_no_version_is_refused,
    a_plain_install_is_kept_and_still_runs,
    a_plain_install_never_replaces_another_program_of_that_version,
    where_there_is_a_link_or_nothing_there_is_nothing_to_keep,
    a_whole_target_passes_with_and_without_its_digest,
    a_damaged_target_does_not_pass,
    a_whole_file_with_another_digest_is_no_target,
    a_target_that_is_not_there_does_not_pass,
    what_runs_writes_its_own_file_anew,
    without_a_digest_what_runs_writes_its_own_file_anew_too,
    what_runs_is_not_passed_off_for_another_digest,
    an_attempt_is_opened_and_closed_however_often,
    the_highest_versions_stay_by_number_not_by_text,
    what_is_linked_or_to_be_kept_is_never_pruned,
    nothing_is_pruned_while_an_attempt_is_open,
    making_durable_changes_nothing,
)


def _install(world: World, *versions: str) -> None:
    for version in versions:
        world.install(version)


def _installed(world: World, versions: tuple[str, ...]) -> set[str]:
    return {version for version in versions if world.digest(version) is not None}


def _no_target(world: World, version: str, sha256: str | None) -> None:
    check = world.versions.check_target
    _faults(lambda: check(version, sha256), CauseKind.ROLLBACK_TARGET_DAMAGED)


def _faults(step: Callable[[], None], cause: CauseKind) -> None:
    try:
        step()
    except UpgradeFault as fault:
        found, sentence = fault.cause, fault.sentence
    else:
        raise AssertionError(f"passed, where it should have raised {cause}")
    assert found is cause, f"{found} instead of {cause}: {sentence}"
    assert sentence, "a fault says in a sentence what happened"
