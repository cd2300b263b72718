"""`fleet device credentials`: has the public key of a device signed, and prints the credential."""

from typing import BinaryIO, Final

from harmony_fleet.cli.output import on_terminal, remark, say, say_answer
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Enrolled, read
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.messaging.credentials import decode_public

MAX_BYTES: Final = 4096
"""More than any file of one key."""


def sign(settings: Settings, device: str, file: BinaryIO, valid_days: int | None) -> None:
    """Raises InvalidValue: no public key of a device."""
    public_key = _public_key(file)
    with settings.connect() as client:
        answer = client.enrol(device, public_key, valid_days)
    if settings.as_json:
        say_answer(answer)
        return
    enrolled = read(Enrolled, answer)
    say(enrolled.jwt)
    if on_terminal():
        remark(
            f"hand it to `fleet-agent credentials --accept` on {device}; "
            f"the message plane is {enrolled.nats_url}"
        )


def _public_key(file: BinaryIO) -> str:
    """Its text is not quoted: it may be a private key, given by mistake."""
    try:
        text = file.read(MAX_BYTES).decode("ascii").strip()
        decode_public("U", text)
    except ValueError:
        raise InvalidValue(
            f"{getattr(file, 'name', 'the file')} holds no public key of a device: that is one "
            "line, U and 55 characters more, as `fleet-agent credentials` prints it on the device"
        ) from None
    return text
