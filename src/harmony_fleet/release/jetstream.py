"""What stands in the artifact for nats-py's JetStream client, which no device uses.

nats-py's connection imports it at its top, for the names of a few headers; the whole of it costs a
device 25 ms of every start and 2 MiB. In its place goes a module with those names, as nats-py has
them where the artifact is built.
"""

CLIENT = "nats/js/"
"""The folder that is left out of the artifact."""


def stand_in() -> dict[str, bytes]:
    """Name to content, for the artifact. nats-py must be installed."""
    from nats.js.api import Header

    names = "\n".join(f"    {header.name} = {header.value!r}" for header in Header)
    api = f"from enum import Enum\n\n\nclass Header(str, Enum):\n{names}\n"
    return {
        f"{CLIENT}__init__.py": b'"""Not nats-py\'s: harmony-fleet\'s stand-in."""\n\n'
        b'from nats.js import api\n\n__all__ = ["api"]\n',
        f"{CLIENT}api.py": b'"""Not nats-py\'s: harmony-fleet\'s stand-in."""\n\n' + api.encode(),
    }
