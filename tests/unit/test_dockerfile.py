"""The operator's image, as far as it can be looked at without a container engine."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
CHART: Final = ROOT / "deploy/chart"
EXACT: Final = re.compile(r"python:\d+\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?")


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Without its options."""
        return [word for word in self.text.split() if not word.startswith("--")]

    @property
    def option(self) -> str | None:
        """The stage that a COPY is from; None: it is from the context."""
        found = re.match(r"--from=(\S+)", self.text)
        return found[1] if found else None


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [Instruction(*line.strip().split(maxsplit=1)) for line in lines if line.strip()]


def named(name: str) -> list[Instruction]:
    return [one for one in instructions() if one.name == name]


def values() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def test_it_is_made_of_instructions_that_are_known() -> None:
    known = {
        "ARG",
        "FROM",
        "ENV",
        "WORKDIR",
        "RUN",
        "COPY",
        "LABEL",
        "USER",
        "EXPOSE",
        "ENTRYPOINT",
    }
    assert {one.name for one in instructions()} <= known


def test_every_stage_has_a_name_and_an_exact_base() -> None:
    (base,) = (one.text.partition("=")[2] for one in named("ARG"))
    assert EXACT.fullmatch(base)
    stages = [one.words for one in named("FROM")]
    assert [(image, word) for image, word, _ in stages] == [("${BASE}", "AS")] * len(stages)
    assert [name for _, _, name in stages] == ["build", "operator"]


def test_every_file_that_it_copies_is_there_and_may_be_seen() -> None:
    seen = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in seen
    for copy in named("COPY"):
        if copy.option is None:
            *sources, _target = copy.words
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in seen, source


def test_it_copies_from_stages_before_it_alone() -> None:
    stages: list[str] = []
    for one in instructions():
        if one.name == "FROM":
            stages.append(one.words[2])
        if one.name == "COPY" and one.option:
            assert one.option in stages[:-1]


@pytest.mark.parametrize("name", ["RUN", "ENTRYPOINT"])
def test_nothing_needs_a_shell(name: str) -> None:
    for one in named(name):
        argv = json.loads(one.text)
        assert all(isinstance(word, str) for word in argv)
        assert not {"sh", "bash", "/bin/sh", "-c"}.intersection(argv)


def test_what_it_installs_from_an_index_is_hashed() -> None:
    for one in named("RUN"):
        argv = json.loads(one.text)
        if "install" in argv:
            assert "--require-hashes" in argv or "--no-index" in argv
        if "wheel" in argv:
            assert {"--no-deps", "--no-build-isolation"} <= set(argv)


def test_it_runs_a_program_of_the_project_as_the_user_of_the_chart() -> None:
    (entry,) = (json.loads(one.text) for one in named("ENTRYPOINT"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert Path(entry[0]).name in scripts
    (user,) = (one.text for one in named("USER"))
    number, _, group = user.partition(":")
    deployment = (CHART / "templates/deployment.yaml").read_text()
    assert f"runAsUser: {number}\n" in deployment
    assert f"runAsGroup: {group}\n" in deployment
    assert int(number) > 0


def test_it_exposes_the_port_of_the_chart() -> None:
    (port,) = (one.text for one in named("EXPOSE"))
    assert int(port) == values()["api"]["port"]
