"""A device's history: as a timeline for each upgrade, or line by line while it goes on."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from harmony_fleet.cli import timeline
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.layout import GAP
from harmony_fleet.cli.output import parsed, say, say_document, say_line, say_wrapped
from harmony_fleet.cli.polling import answers
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Events, EventView, Upgrades, read
from harmony_fleet.cli.words import time_of
from harmony_fleet.printable import printable

PAGE: Final = 500


def show_events(
    settings: Settings, client: FleetClient, device_id: str, upgrade_id: str | None
) -> None:
    """Raises Refused: there is no such device, or no such upgrade of it."""
    pages = list(_pages(client, device_id, 0))
    events = [event for page in pages for event in read(Events, page).events]
    if upgrade_id is not None:
        _refuse_unknown(client, device_id, upgrade_id, pages)
    if settings.as_json:
        every = [event for page in pages for event in parsed(page)["events"]]
        say_document({"events": _only(every, upgrade_id)})
        return
    upgrades = read(Upgrades, client.upgrades_of(device_id)).upgrades
    found = timeline.blocks(events, upgrades)
    chosen = [one for one in found if upgrade_id in {None, one.upgrade_id}]
    _say_blocks(chosen, whole=upgrade_id is not None)


def follow_events(settings: Settings, device_id: str, upgrade_id: str | None) -> None:
    """Until it is interrupted. Raises Refused: there is no such upgrade of the device."""
    if upgrade_id is not None:
        with settings.connect() as client:
            _refuse_unknown(client, device_id, upgrade_id, list(_pages(client, device_id, 0)))
    after = 0

    def news(client: FleetClient) -> list[bytes]:
        return list(_pages(client, device_id, after))

    for pages in answers(settings, news):
        for page in pages:
            events = read(Events, page).events
            after = max([after, *(event.number for event in events)])
            if settings.as_json:
                _say_each(_only(parsed(page)["events"], upgrade_id))
            else:
                _say_events([e for e in events if upgrade_id in {None, e.upgrade_id}])


def _refuse_unknown(
    client: FleetClient, device_id: str, upgrade_id: str, pages: list[bytes]
) -> None:
    """One that nothing is told of may still be kept: the operator says whether there is none."""
    told = {event.upgrade_id for page in pages for event in read(Events, page).events}
    if upgrade_id not in told:
        client.upgrade_of(device_id, upgrade_id)


def _pages(client: FleetClient, device_id: str, after: int) -> Iterator[bytes]:
    while True:
        page = client.events(device_id, after, PAGE)
        yield page
        events = read(Events, page).events
        if len(events) < PAGE:
            return
        after = events[-1].number


def _only(events: list[Any], upgrade_id: str | None) -> list[Any]:
    return [event for event in events if upgrade_id in {None, event["upgrade_id"]}]


def _say_blocks(blocks: Sequence[timeline.Block], *, whole: bool) -> None:
    for number, block in enumerate(blocks):
        if number:
            say()
        say_wrapped(timeline.head(block), indent=2)
        for line in timeline.lines(block, whole=whole):
            say_wrapped(line.text, indent=line.indent)


def _say_events(events: Sequence[EventView]) -> None:
    for event in events:
        say(GAP.join((time_of(event.at), f"{event.kind:14}", printable(event.sentence))))


def _say_each(events: Sequence[Any]) -> None:
    for event in events:
        say_line(event)
