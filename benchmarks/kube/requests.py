"""What was written to the API server, by its own count. The user's writes are told from ours.

Of a Device's spec and metadata (PATCH and POST without a subresource) the server cannot say who
wrote them: whoever measures takes off what it has asked for itself.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.kube.api_server import KubeCluster

WRITES = ("POST", "PUT", "PATCH", "DELETE")
ASK = "PATCH devices"
"""What a user asks for, as it is counted here."""
_LEASES = "leases"
_OURS = frozenset({"devices", "agentreleases", "events", _LEASES})
_LINE = re.compile(r"apiserver_request_total\{([^}]*)\} (\d+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Written:
    """Running totals, by verb and resource: such as `PUT devices/status`."""

    by_kind: Mapping[str, int]
    refused: int
    """Of them: a conflict, or put off."""
    reads: int
    """Of one object."""

    def since(self, before: "Written", asked: int = 0) -> "Written":
        """`asked`: of them, for which a user asked."""
        found = Counter(self.by_kind)
        found.subtract(before.by_kind)
        found[ASK] -= asked
        return Written(
            {kind: n for kind, n in found.items() if n},
            self.refused - before.refused,
            self.reads - before.reads,
        )

    @property
    def total(self) -> int:
        """But for the Lease, which is renewed whatever happens."""
        return sum(n for kind, n in self.by_kind.items() if _LEASES not in kind)

    @property
    def leases(self) -> int:
        return sum(n for kind, n in self.by_kind.items() if _LEASES in kind)

    def told(self, among: int) -> str:
        """For each of so many."""
        found = sorted(self.by_kind.items(), key=lambda one: -one[1])
        words = [f"{n / among:.3g} {kind}" for kind, n in found if _LEASES not in kind]
        return ", ".join([*words, f"{self.refused} refused in all"])


def written(kube: KubeCluster) -> Written:
    return counted(kube.kubectl("get", "--raw", "/metrics").stdout)


def counted(metrics: str) -> Written:
    found: Counter[str] = Counter()
    refused = reads = 0
    for labels, number in _LINE.findall(metrics):
        one = dict(_LABEL.findall(labels))
        if one["resource"] not in _OURS:
            continue
        reads += int(number) if one["verb"] == "GET" else 0
        if one["verb"] not in WRITES:
            continue
        below = f"/{one['subresource']}" if one["subresource"] else ""
        found[f"{one['verb']} {one['resource']}{below}"] += int(number)
        if int(one["code"]) >= _REFUSED and one["resource"] != _LEASES:
            refused += int(number)
    return Written(found, refused, reads)
