"""Writes the references of the wire messages and of the agent's configuration, from the code.

python docs/reference.py           writes docs/messages.md and docs/configuration.md
python docs/reference.py --check   exits 1, with a sentence, where a file differs from the code
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CONTRACTS: Final = ROOT / "src" / "harmony_fleet" / "contracts"
PAGE: Final = ROOT / "docs" / "messages.md"
CONFIGURATION: Final = ROOT / "docs" / "configuration.md"
CONFIG_MODULE: Final = "../agent/config"

CONFIGURATION_HEAD: Final = """\
# Configuration of the agent

<!-- written by docs/reference.py from src/harmony_fleet/agent/config.py; do not edit -->

`fleet-agent` reads `/etc/fleet-agent/config.toml`, or the file that `--config` or the environment's
`FLEET_AGENT_CONFIG` names. A variable `FLEET_AGENT_UPGRADE__PROBATION_S=60` overrides the file's
`probation_s` in `[upgrade]`, a flag `--set upgrade.probation_s=60` overrides both. An unknown or
mistyped key is an error; `fleet-agent check-config` says whether all is well. Names that end in
`_s` are seconds.
"""
SECTIONS: Final = (
    ("Config", "At the top of the file"),
    ("PlaneConfig", "[plane]"),
    ("PathsConfig", "[paths]"),
    ("HeartbeatConfig", "[heartbeat]"),
    ("UpgradeConfig", "[upgrade]"),
)

HEAD: Final = """\
# Messages

<!-- written by docs/reference.py from src/harmony_fleet/contracts; do not edit -->

Every message is UTF-8 JSON of at most {limit} bytes with all of its fields, in this order. A
reader ignores fields that it does not know, gives those that are missing their default, and takes a
word of an enum that it does not know for the enum's `unknown`. Everything is checked as it is read:
ids, versions and digests by their patterns, integers to lie between 0 (or 1) and 2**53, texts by
their length; what fails is refused as a whole.
"""

MESSAGES: Final = (
    ("Marker", "upgrade", "Bucket `agent-upgrade`, key `<device_id>`. Operator to device."),
    ("Status", "upgrade", "Bucket `agent-upgrade-status`, key `<device_id>`. Device to operator."),
    (
        "Heartbeat",
        "heartbeat",
        "Bucket `device-heartbeat`, key `<device_id>.<role>`. Device to operator.",
    ),
    ("Command", "commands", "Subject `device-cmd.<device_id>`. Operator to device."),
    (
        "Answer",
        "commands",
        "Subject `fleet.answer.<device_id>.<nonce>.<number>`, as asked. Device to operator.",
    ),
    ("PreflightCommand", "preflight", "Where a `Command` travels. Operator to device."),
    ("PreflightAnswer", "preflight", "Where an `Answer` travels. Device to operator."),
)
PARTS: Final = (
    ("Artifact", "upgrade", "In a marker, and in the question of a preflight."),
    ("Cause", "upgrade", "In a status."),
    ("Ended", "upgrade", "In a status, and in the answer to a stop."),
    ("Progress", "heartbeat", "In a heartbeat."),
    ("Info", "commands", "In the answer to `Info`."),
    ("Check", "preflight", "In the answer to `Preflight`."),
)
ENUMS: Final = (
    ("Desired", "upgrade"),
    ("AgentUpgradePhase", "upgrade"),
    ("CauseKind", "upgrade"),
    ("Role", "heartbeat"),
    ("Verb", "commands"),
    ("Outcome", "commands"),
    ("CheckName", "preflight"),
    ("CheckState", "preflight"),
)


@dataclass(frozen=True)
class Member:
    name: str
    type: str
    default: str
    meaning: str


def page() -> str:
    parts = [HEAD.format(limit=constant("wire", "MAX_MESSAGE_BYTES"))]
    for title, group in (("What is sent", MESSAGES), ("What they are made of", PARTS)):
        parts.append(f"## {title}\n")
        parts += [section(name, module, where) for name, module, where in group]
    parts.append("## Words\n")
    parts += [words(name, module) for name, module in ENUMS]
    return "\n".join(parts)


def configuration() -> str:
    parts = [CONFIGURATION_HEAD]
    for name, title in SECTIONS:
        lines = [f"## {title}\n", "| key | default | meaning |", "|---|---|---|"]
        for member in members(class_of(name, CONFIG_MODULE)):
            if member.type.endswith("Config"):
                continue
            default = f"`{_plain(member.default)}`" if member.default else "must be given"
            lines.append(f"| `{member.name}` | {default} | {member.meaning} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _plain(default: str) -> str:
    """As TOML has it, or `none`."""
    text = default.removeprefix("Path(").removesuffix(")")
    return "none" if text == "None" else text.replace("'", '"')


def section(name: str, module: str, where: str) -> str:
    found = class_of(name, module)
    lines = [f"### {name}\n", f"{where}\n"]
    if text := ast.get_docstring(found):
        lines.append(f"{text}\n")
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for member in members(found):
        default = f"`{member.default}`" if member.default else "-"
        kind = member.type.replace("|", "\\|")
        lines.append(f"| `{member.name}` | `{kind}` | {default} | {member.meaning} |")
    return "\n".join(lines) + "\n"


def words(name: str, module: str) -> str:
    found = class_of(name, module)
    lines = [f"### {name}\n"]
    if text := ast.get_docstring(found):
        lines.append(f"{text}\n")
    counting = members_named(module, "_COUNTS") if name == "CauseKind" else set()
    final = members_named(module, "_FINAL") if name == "AgentUpgradePhase" else set()
    lines += ["| word | meaning |", "|---|---|"]
    for member in members(found):
        notes = [member.meaning] if member.meaning else []
        notes += ["A word that this version does not know."] if member.name == "UNKNOWN" else []
        notes += ["Counts against the release."] if member.name in counting else []
        notes += ["An end."] if member.name in final else []
        lines.append(f"| `{ast.literal_eval(member.default)}` | {' '.join(notes)} |")
    return "\n".join(lines) + "\n"


def members(found: ast.ClassDef) -> Iterator[Member]:
    """Fields of a dataclass or words of an enum, each with the docstring below it."""
    for statement, below in zip(found.body, [*found.body[1:], None], strict=True):
        match statement:
            case ast.AnnAssign(target=ast.Name(name), annotation=annotation, value=value):
                default = ast.unparse(value) if value else ""
                yield Member(name, ast.unparse(annotation), default, text_of(below))
            case ast.Assign(targets=[ast.Name(name)], value=value):
                yield Member(name, "", ast.unparse(value), text_of(below))
            case _:
                continue


def text_of(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(ast.Constant(str(text))):
            return " ".join(text.split()).replace("|", "\\|")
        case _:
            return ""


def members_named(module: str, name: str) -> set[str]:
    """The names of the enum's members in a module's set of them."""
    found = assigned(module, name)
    return {node.attr for node in ast.walk(found) if isinstance(node, ast.Attribute)}


def constant(module: str, name: str) -> int:
    return int(ast.literal_eval(assigned(module, name)))


def assigned(module: str, name: str) -> ast.expr:
    for statement in parsed(module).body:
        match statement:
            case ast.Assign(targets=[ast.Name(target)], value=value) if target == name:
                return value
            case ast.AnnAssign(target=ast.Name(target), value=ast.expr() as value) if (
                target == name
            ):
                return value
            case _:
                continue
    raise LookupError(f"{module}.py assigns no {name}")


def class_of(name: str, module: str) -> ast.ClassDef:
    for statement in parsed(module).body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return statement
    raise LookupError(f"{module}.py defines no {name}")


def parsed(module: str) -> ast.Module:
    return ast.parse((CONTRACTS / f"{module}.py").read_text("utf-8"))


def main(arguments: list[str]) -> int:
    differing = []
    for path, wanted in ((PAGE, page()), (CONFIGURATION, configuration())):
        if arguments != ["--check"]:
            path.write_text(wanted, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != wanted:
            differing.append(path)
    for path in differing:
        sys.stderr.write(
            f"{path.relative_to(ROOT)} differs from the code: run `make reference`, and commit it\n"
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
