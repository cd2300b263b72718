"""What must never be in the repository itself."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
SECRET: Final = re.compile(r"\.(creds|nk|pem|key|db)$|(^|/)(token|keys\.json)$|^\.(soak|demo)/")


def test_no_key_token_or_store_is_committed() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a clone")
    ran = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = ran.stdout.splitlines()
    assert len(names) > 100
    assert [name for name in names if SECRET.search(name)] == []
