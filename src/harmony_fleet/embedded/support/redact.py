"""Takes secrets out of text: those that are known, and whatever has a secret's form. Pure.

It rather takes out too much. What goes into a bundle goes through here, without exception.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

HIDDEN: Final = "[redacted]"
WINDOW: Final = 16
"""So many characters of a known secret in a row are taken out, also where the rest was cut off."""

_WORD: Final = re.compile(rf"[A-Za-z0-9_-]{{{WINDOW},}}")
"""What base64, base32 and hexadecimal are made of."""
_NAME_OF_ONE: Final = r"(?:passw(?:or)?d|passwd|secret|token|api[_-]?key|seed|authorization)"
_NAMED: Final = re.compile(rf"(?i){_NAME_OF_ONE}")
_PATTERNS: Final = (
    # a key, a seed or a JWT between its BEGIN and its END, or from a BEGIN to where a text was cut
    (re.compile(r"(?s)-{3,}BEGIN [A-Z0-9 ]+-{3,}.*?(?:-{3,}END [A-Z0-9 ]+-{3,}|\Z)"), HIDDEN),
    # an nkey seed, also one that was cut short
    (re.compile(r"S[ACNOPUX][A-Z2-7]{20,}"), HIDDEN),
    # a JWT, or a part of one from its beginning: every JSON object in base64 begins like this
    (re.compile(r"ey[IJK][A-Za-z0-9_.=-]{10,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # what is asked of a web server: a signed link is as good as a password
    (re.compile(r"(?i)(https?://[^\s\"'<>?#]*)[?#][^\s\"'<>]*"), rf"\1?{HIDDEN}"),
    # user and password of a URL, also with a slash that should have been escaped
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@"), rf"\1{HIDDEN}@"),
    (
        re.compile(rf"(?i)({_NAME_OF_ONE}[\w-]*[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]{{6,}}"),
        rf"\1{HIDDEN}",
    ),
)


@dataclass(frozen=True, slots=True)
class Redactor:
    whole: tuple[str, ...] = ()
    """Longest first: one may be a part of another."""
    windows: frozenset[str] = frozenset()

    @classmethod
    def knowing(cls, contents: Iterable[str]) -> "Redactor":
        """Of files that hold nothing but secrets: every long word in them is one."""
        found = list(contents)
        whole = {word for text in found for word in text.split() if len(word) >= WINDOW}
        words = [word for text in found for word in _WORD.findall(text)]
        windows = frozenset(window for word in words for window in _windows(word))
        return cls(tuple(sorted(whole, key=len, reverse=True)), windows)

    def text(self, text: str) -> str:
        for word in self.whole:
            text = text.replace(word, HIDDEN)
        text = _WORD.sub(self._word, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def _word(self, found: re.Match[str]) -> str:
        return found[0] if self.windows.isdisjoint(_windows(found[0])) else HIDDEN

    def document(self, value: Any) -> Any:
        """A JSON document, its texts before they are escaped, and whatever is named a secret."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): HIDDEN
                if isinstance(item, str) and item and _NAMED.search(str(key))
                else self.document(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.document(item) for item in value]
        return value


def _windows(word: str) -> Iterator[str]:
    return (word[at : at + WINDOW] for at in range(len(word) - WINDOW + 1))
