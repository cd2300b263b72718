"""The picture of devices by phase over time: whole, true to the numbers, and readable."""

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.simulation.picture import (
    BANDS,
    COLUMNS,
    Drawing,
    Outage,
    instants,
    moment,
    svg,
)

SVG = "{http://www.w3.org/2000/svg}"
PLOT = (76.0, 700.0, 118.0, 460.0)
"""Left, right, top, bottom."""


def drawing(outages: tuple[Outage, ...] = (), title: str = "10 devices") -> Drawing:
    """Six succeed after half of the time, four are rolled back at three quarters."""
    at = instants(100.0)
    half, later = COLUMNS // 2, COLUMNS * 3 // 4
    rest = COLUMNS + 1
    counts: dict[str, list[int]] = {
        Phase.STAGING: [10] * half + [4] * (later - half) + [0] * (rest - later),
        Phase.SUCCEEDED: [0] * half + [6] * (rest - half),
        Phase.ROLLED_BACK: [0] * later + [4] * (rest - later),
        Phase.FAILED: [0] * rest,
    }
    return Drawing(title, ("what is done", "what is set"), 10, at, counts, outages)


def read(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - written here


def texts(tree: ET.Element) -> list[str]:
    return [str(one.text) for one in tree.iter(f"{SVG}text")]


def areas(tree: ET.Element) -> dict[str, list[tuple[float, float]]]:
    """Corners by name."""
    found = {}
    for area in tree.iter(f"{SVG}polygon"):
        points = [tuple(map(float, p.split(","))) for p in area.attrib["points"].split()]
        found[str(area.findtext(f"{SVG}title"))] = [(x, y) for x, y in points]
    return found


def test_it_is_well_formed_and_says_what_it_shows() -> None:
    tree = read(svg(drawing()))
    assert tree.tag == f"{SVG}svg"
    assert tree.findtext(f"{SVG}title") == "10 devices"
    assert {"what is done", "what is set", "time since the first order"} <= set(texts(tree))


def test_words_are_no_markup() -> None:
    title = "<b> & 'c'"
    assert read(svg(drawing(title=title))).findtext(f"{SVG}title") == title


def test_what_never_was_is_left_out_and_the_legend_counts_the_end() -> None:
    tree = read(svg(drawing()))
    assert set(areas(tree)) == {"downloading", "succeeded", "rolled back"}
    assert {"succeeded", "rolled back", "downloading"} <= set(texts(tree))
    in_the_end = [one.text for one in tree.iter(f"{SVG}text") if one.get("x") == "944"]
    assert in_the_end == ["in the end", "4", "6"]


def test_areas_lie_on_each_other_and_fill_the_plot_at_each_instant() -> None:
    left, right, top, bottom = PLOT
    found = areas(read(svg(drawing())))
    edges = sorted((min(y for _, y in one), max(y for _, y in one)) for one in found.values())
    assert edges[0][0] == top
    assert max(high for _, high in edges) == bottom
    whole = (right - left) * (bottom - top)
    assert sum(map(_surface, found.values())) == pytest.approx(whole, rel=0.001)


def _surface(corners: list[tuple[float, float]]) -> float:
    around = pairwise([*corners, corners[0]])
    return abs(sum(x * v - u * y for (x, y), (u, v) in around)) / 2


def test_a_straight_edge_has_no_corners_between() -> None:
    assert all(len(corners) < 20 for corners in areas(read(svg(drawing()))).values())


def test_an_area_that_has_room_says_its_own_name() -> None:
    assert texts(read(svg(drawing()))).count("downloading") == 2


def test_an_outage_is_drawn_where_it_was_and_one_behind_the_end_is_not() -> None:
    inside, behind = Outage(20.0, 40.0, "plane away"), Outage(200.0, 300.0, "operator away")
    tree = read(svg(drawing((inside, behind))))
    assert "plane away" in texts(tree)
    assert "operator away" not in texts(tree)
    hatched = [one for one in tree.iter(f"{SVG}rect") if one.get("fill") == "url(#away)"]
    left, right, _, _ = PLOT
    drawn = [float(hatched[0].attrib[name]) for name in ("x", "width")]
    wanted = [left + 0.2 * (right - left), 0.2 * (right - left)]
    assert drawn == pytest.approx(wanted, abs=0.1)


def test_it_follows_a_dark_screen() -> None:
    assert "prefers-color-scheme: dark" in svg(drawing())


def test_every_phase_has_a_band_and_a_colour_of_its_own() -> None:
    assert {band.phase for band in BANDS} == {*map(str, Phase), ""}
    assert len({band.colour for band in BANDS}) == len(BANDS)


@pytest.mark.parametrize("devices", [1, 2, 3, 7, 60, 999, 10_000, 100_000])
def test_its_numbers_are_round_and_few(devices: int) -> None:
    counts: dict[str, list[int]] = {Phase.SUCCEEDED: [devices] * (COLUMNS + 1)}
    tree = read(svg(Drawing("", ("", ""), devices, instants(10.0), counts)))
    ticks = [
        int(str(one.text).replace(",", ""))
        for one in tree.iter(f"{SVG}text")
        if one.get("class") == "end" and one.get("x") == "66"
    ]
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= 8
    assert ticks[-1] <= devices


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0"),
        (2.5, "2.5 s"),
        (59.99, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (259200, "3 d"),
    ],
)
def test_a_moment_is_said_in_units_that_people_use(seconds: float, words: str) -> None:
    assert moment(seconds) == words
