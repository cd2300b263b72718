import ast
from pathlib import Path

from harmony_fleet.agent import bootstrap

SOURCE = Path(bootstrap.__file__).read_text()


def test_it_parses_on_pythons_far_below_the_floor_so_that_they_can_be_told() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))


def test_before_the_pin_only_what_the_interpreter_has_loaded_is_imported() -> None:
    tree = ast.parse(SOURCE)
    imported = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    assert imported == {"os", "sys", "zipimport"}
    assert not any(isinstance(node, ast.ImportFrom) for node in tree.body)


def test_a_process_that_runs_from_no_artifact_has_no_pinned_descriptor() -> None:
    assert bootstrap.pinned_descriptor() is None
