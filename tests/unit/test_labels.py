"""Labels as Kubernetes has them, and selectors held to a plain second reading of its rules."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.labels import (
    MAX_REQUIREMENTS,
    Changes,
    Label,
    Requirement,
    Selector,
    changes,
    check_key,
    check_value,
    label,
    selector,
)

ENDS = string.ascii_letters + string.digits
INNER = ENDS + "-_."


def words(inner: str = INNER, ends: str = ENDS, most: int = 63) -> st.SearchStrategy[str]:
    one = st.sampled_from(ends)
    middle = st.text(inner, max_size=most - 2)
    return st.one_of(one, st.builds("{}{}{}".format, one, middle, one))


LOWER = string.ascii_lowercase + string.digits
PREFIXES = st.lists(words(LOWER + "-", LOWER, 20), min_size=1, max_size=4).map(".".join)
KEYS = st.one_of(words(), st.builds("{}/{}".format, PREFIXES, words()))
VALUES = st.just("") | words()
FEW_KEYS = st.sampled_from(["a", "b", "example.com/a"])
FEW_VALUES = st.sampled_from(["", "x", "y"])
REQUIREMENTS = st.builds(Requirement, FEW_KEYS, st.none() | FEW_VALUES, st.booleans())
LABELS = st.dictionaries(FEW_KEYS, FEW_VALUES).map(
    lambda found: tuple(Label(key, value) for key, value in sorted(found.items()))
)


@given(KEYS, VALUES)
def test_every_key_and_value_of_that_form_is_read_as_it_is(key: str, value: str) -> None:
    assert check_key(key) == key
    assert check_value(value, key) == value
    assert label(f"{key}={value}") == Label(key, value)
    assert str(label(f"{key}={value}")) == f"{key}={value}"


NO_KEYS = ["", "-a", "a-", "a b", "ä", "a/b/c", "/a", "a/", "A/a", "a..b/c", "-a/b", "a" * 64]


@pytest.mark.parametrize("key", [*NO_KEYS, "a" * 254 + "/b", "a\n", "a=b", "a,b", "!a"])
def test_what_kubernetes_refuses_as_a_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidValue, match="not a label's key"):
        check_key(key)


@pytest.mark.parametrize("value", ["-a", "a-", "a b", "a/b", "ä", "a" * 64, "a\n", "a,b"])
def test_what_kubernetes_refuses_as_a_value_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue, match="not a value for the label 'k'"):
        check_value(value, "k")


@given(st.lists(st.builds(Requirement, KEYS, st.none() | VALUES, st.booleans()), min_size=1))
def test_a_selector_is_read_as_it_is_written(requirements: list[Requirement]) -> None:
    written = Selector(tuple(requirements[:MAX_REQUIREMENTS]))
    assert selector(str(written)) == written


@given(st.lists(REQUIREMENTS, min_size=1, max_size=3), LABELS)
def test_all_requirements_must_hold_and_an_absent_key_differs_from_every_value(
    requirements: list[Requirement], labels: tuple[Label, ...]
) -> None:
    there = {one.key: one.value for one in labels}

    def holds(one: Requirement) -> bool:
        if one.value is None:
            return (one.key in there) == one.wanted
        return (there.get(one.key) == one.value) == one.wanted

    assert Selector(tuple(requirements)).selects(labels) == all(map(holds, requirements))


def test_the_ways_to_say_a_requirement() -> None:
    assert selector(" ring = canary , site!=berlin,!old, ready , a== ") == Selector(
        (
            Requirement("ring", "canary"),
            Requirement("site", "berlin", wanted=False),
            Requirement("old", None, wanted=False),
            Requirement("ready", None),
            Requirement("a", ""),
        )
    )


NO_SELECTORS = [
    "",
    ",",
    "a,",
    "=a",
    "a=b=c",
    "!a=b",
    "a in (b,c)",
    "a>1",
    "a b",
    "!",
    "!!a",
    "a=!b",
]


@pytest.mark.parametrize("text", [*NO_SELECTORS, ",".join(["a"] * (MAX_REQUIREMENTS + 1))])
def test_what_is_no_selector_selects_nothing(text: str) -> None:
    with pytest.raises(InvalidValue):
        selector(text)


@given(st.text(max_size=40))
def test_any_text_is_a_selector_or_refused_and_nothing_else(text: str) -> None:
    try:
        found = selector(text)
    except InvalidValue:
        return
    assert selector(str(found)) == found


@given(LABELS, st.dictionaries(FEW_KEYS, st.none() | FEW_VALUES, min_size=1))
def test_changes_put_and_remove_what_they_name_and_leave_the_rest(
    labels: tuple[Label, ...], asked: dict[str, str | None]
) -> None:
    read = changes([f"{k}-" if v is None else f"{k}={v}" for k, v in asked.items()])
    merged = {one.key: one.value for one in labels} | asked
    wanted = {key: value for key, value in merged.items() if value is not None}
    found = read.applied(labels)
    assert {one.key: one.value for one in found} == wanted
    assert [one.key for one in found] == sorted(wanted)
    assert read.applied(found) == found


def test_changes_are_said_in_words() -> None:
    assert str(changes(["b=2", "old-", "a="])) == "b=2, a=, old removed"
    assert changes(["a-"]) == Changes(removed=("a",))


@pytest.mark.parametrize("asked", [[], ["a"], ["a=1", "a=2"], ["a=1", "a-"], ["-"], ["a b-"]])
def test_changes_that_say_nothing_or_two_things_are_refused(asked: list[str]) -> None:
    with pytest.raises(InvalidValue):
        changes(asked)
