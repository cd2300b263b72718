"""Writes the custom resource definitions in deploy/chart/files/crds/ from the operator's types.

python docs/crds.py           writes them
python docs/crds.py --check   exits 1, with a sentence, where a file differs from the code
"""

import sys
from pathlib import Path
from typing import Final

import yaml

from harmony_fleet.operator.kubernetes.schemas import definitions

FOLDER: Final = Path(__file__).parents[1] / "deploy" / "chart" / "files" / "crds"
HEAD: Final = "# written by docs/crds.py from the operator's types; do not edit\n"


def main() -> int:
    made = {f"{one['spec']['names']['plural']}.yaml": one for one in definitions()}
    texts = {
        FOLDER / name: HEAD + yaml.safe_dump(one, sort_keys=False, width=96)
        for name, one in made.items()
    }
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in texts.items() if _read(path) != text]
    if stale:
        names = ", ".join(stale)
        say = "differs from the code: run `make reference`"
        sys.stderr.write(f"deploy/chart/files/crds: {names} {say}\n")
    return 1 if stale else 0


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
