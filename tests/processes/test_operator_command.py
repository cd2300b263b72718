"""`fleet-operator` as a program: what it says, and its exit status, before anything is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = "import sys; sys.modules[{library!r}] = None\n"


def operator(folder: Path, *words: str, without: str | None = None) -> tuple[int, str, str]:
    """`without`: a library that this interpreter is made not to find."""
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    if without is not None:
        (folder / "sitecustomize.py").write_text(BLOCKED.format(library=without))
        environment["PYTHONPATH"] = str(folder)
    argv = [str(Path(sys.executable).parent / "fleet-operator"), *words]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("library", ["lightkube", "httpx2"])
@pytest.mark.parametrize("words", [(), ("--check",), ("--config", "/nowhere.toml")])
def test_without_the_clusters_client_it_says_in_one_sentence_what_to_install(
    tmp_path: Path, library: str, words: tuple[str, ...]
) -> None:
    status, out, err = operator(tmp_path, *words, without=library)
    assert (status, out) == (2, "")
    assert err == (
        f"fleet-operator: {library}, which reaches the cluster, is not installed: pip install "
        "'harmony-fleet[kubernetes]'; on one machine without a cluster, `fleet up` is the "
        "operator\n"
    )


def test_what_it_is_told_by_can_be_asked_all_the_same(tmp_path: Path) -> None:
    assert operator(tmp_path, "--help", without="lightkube")[0] == 0
    status, out, _ = operator(tmp_path, "--version", without="httpx2")
    assert (status, out.split()[0]) == (0, "fleet-operator")


def test_with_it_a_configuration_that_is_not_there_is_what_is_told(tmp_path: Path) -> None:
    status, out, err = operator(tmp_path, "--check", "--config", str(tmp_path / "none.toml"))
    assert (status, out) == (2, "")
    assert "name the operator's configuration by --config" in err
    assert len(err.splitlines()) == 1
