"""What a long run found, as text and as Markdown: tables, and what was at fault."""

from collections.abc import Iterable, Sequence

from soak.faults import Fault

Table = tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]
"""A title, its headers, its rows."""


def as_text(tables: Iterable[Table], faults: Sequence[Fault]) -> str:
    lines: list[str] = []
    for title, header, rows in tables:
        widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
        lines += ["", title]
        for row in [header, *rows]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"  {fault.kind}: {fault.text}" for fault in faults)])


def as_markdown(tables: Iterable[Table], faults: Sequence[Fault]) -> str:
    lines: list[str] = []
    for title, header, rows in tables:
        lines += ["", f"### {title}", ""]
        lines += [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    if faults:
        lines += ["", "### What was at fault", ""]
        lines += [f"- {fault.kind}: {fault.text}" for fault in faults]
    return "\n".join(lines).lstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
