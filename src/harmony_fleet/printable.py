"""Words from elsewhere, before they reach a terminal or a log."""


def printable(text: str) -> str:
    """Without anything that could move a cursor, colour a line, or forge one."""
    return "".join(c if c.isprintable() else " " for c in text).strip()
