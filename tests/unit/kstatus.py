"""What Helm 4, Flux and others make of a custom resource: `kstatus(document)`.

The rules of `status.Compute` in github.com/fluxcd/cli-utils v1.2.2, pkg/kstatus/status (generic.go,
status.go), which helm v4.3.1 waits by; as far as they are for kinds that Kubernetes does not know.
"""

from typing import Any


def kstatus(document: dict[str, Any]) -> str:
    metadata, status = document["metadata"], document.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata.get("generation", observed):
        return "InProgress"
    conditions = status.get("conditions", [])
    for one in conditions:  # in their order: the first that holds decides
        if one["status"] == "True" and one["type"] in {"Reconciling", "Stalled"}:
            return "InProgress" if one["type"] == "Reconciling" else "Failed"
    for one in conditions:
        if one["type"] == "Ready":
            return "Current" if one["status"] == "True" else "InProgress"
    return "Current"
