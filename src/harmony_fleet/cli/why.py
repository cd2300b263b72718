"""`fleet why`: one paragraph about one device, written by the operator."""

import click

from harmony_fleet.cli.arguments import device_argument
from harmony_fleet.cli.settings import FleetCommand, settings


@click.command(cls=FleetCommand)
@device_argument
def why(device: str) -> None:
    """What DEVICE runs, what it waits for, and on which evidence."""
    from harmony_fleet.cli.output import as_called, called_by, say_answer, say_wrapped
    from harmony_fleet.cli.views import Why, read
    from harmony_fleet.cli.words import paragraph

    chosen = settings()
    with chosen.connect() as client:
        answer = client.why(device)
    if chosen.as_json:
        say_answer(answer)
    else:
        text = as_called(read(Why, answer).text, called_by())
        for line in paragraph(text).splitlines():
            say_wrapped(line)
