"""What the role says at its end on each host, checked: much of it is the device's own word.

Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

from harmony_fleet.contracts.errors import InvalidValue

FORMS: Final = {
    "starts": str,
    "took_over": bool,
    "remark": str,
    "started": bool,
    "removed": list,
    "self_test": str,
}
"""Of an install, an uninstall, and a question to a device that is not heard."""


def read_report(said: Any) -> Mapping[str, Any]:
    """With what is known here of it. Raises InvalidValue."""
    if not isinstance(said, Mapping):
        raise _not_so("its report")
    found = {name: said[name] for name in FORMS if name in said}
    for name, value in found.items():
        if not isinstance(value, FORMS[name]):
            raise _not_so(repr(name))
    if not all(isinstance(path, str) for path in found.get("removed", ())):
        raise _not_so("'removed'")
    return found


def _not_so(what: str) -> InvalidValue:
    return InvalidValue(
        f"what the device told is not what the role asks for ({what} has another form), so nothing "
        "of it is believed: look at what answers there"
    )
