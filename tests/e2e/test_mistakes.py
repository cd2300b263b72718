"""Each of these mistakes, put into a copy of the code, is seen by the test that is named for it."""

from pathlib import Path

import pytest
from demo.without import SOURCE
from tests.e2e.copies import ASSERTED, run_on_copy
from tests.e2e.mistakes import MISTAKES, UNDER_SYSTEMD

ROOT = Path(__file__).parent.parent.parent
TESTS = ROOT / "tests"
ALL = {**MISTAKES, **UNDER_SYSTEMD}


@pytest.mark.e2e
@pytest.mark.parametrize("name", MISTAKES)
def test_the_named_test_sees_the_mistake(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    ran = run_on_copy(tmp_path, mistake, [mistake.file])
    failed = [one for one in ran if one.why_failed is not None]
    seen = [one.why_failed or "" for one in failed if one.name == mistake.test]
    assert seen, failed
    assert all(why.startswith(ASSERTED) for why in seen), seen
    assert len(failed) < len(ran) / 2  # what crashes makes most of them fail


@pytest.mark.e2e
def test_the_tests_pass_on_a_copy_without_a_mistake(tmp_path: Path) -> None:
    ran = run_on_copy(tmp_path, None, sorted({mistake.file for mistake in MISTAKES.values()}))
    assert {mistake.test for mistake in MISTAKES.values()} <= {one.name for one in ran}
    assert [one for one in ran if one.broken or one.why_failed is not None] == []


def test_each_mistake_changes_passages_that_are_there_exactly_once() -> None:
    changes = [change for mistake in ALL.values() for change in mistake.changes]
    found = {change: (SOURCE / change.file).read_text().count(change.passage) for change in changes}
    assert [change for change, times in found.items() if times != 1] == []


def test_the_docs_name_the_test_that_sees_each_mistake() -> None:
    rows = {
        f"| {name} | `{Path(mistake.file).name}`: `{mistake.test}` |"
        for name, mistake in ALL.items()
    }
    told = (ROOT / "docs/testing.md").read_text().partition("## Mistakes")[2].partition("\n## ")[0]
    assert {line for line in told.splitlines() if "`test_" in line} == rows


def test_the_test_that_sees_a_mistake_is_there() -> None:
    missing = [
        mistake.node
        for mistake in ALL.values()
        if f"def {mistake.test}(" not in (TESTS / mistake.file).read_text()
    ]
    assert missing == []
