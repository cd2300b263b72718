"""Whether a file could be downloaded: its first byte is asked for, and nothing is kept.

It goes the way of a download, with its redirects, proxies and refusals, and says what the answer
means to it; whether to try again is nobody's question here.
"""

from typing import TYPE_CHECKING

from harmony_fleet.asset import http
from harmony_fleet.asset.answer import Begins, Meaning, judge_first_byte
from harmony_fleet.asset.policy import Expected, Interrupted, Limits
from harmony_fleet.asset.watch import Watch

if TYPE_CHECKING:
    import ssl


def probe(
    url: str, expected: Expected, limits: Limits, trust: "ssl.SSLContext | None" = None
) -> Meaning:
    """Blocks, for `limits.overall_s` and one connecting time at most: call it in a thread.

    Raises:
        ConnectionLost, RedirectRefused
    """
    ask = http.Ask(url, from_byte=0, to_byte=0)
    with http.get(ask, limits, Watch(limits, cancelled=None), trust) as (answer, body):
        meaning = judge_first_byte(answer, expected)
        if isinstance(meaning, Begins) and not body.read(1):
            return Interrupted("the server sends no byte of it")
        return meaning
