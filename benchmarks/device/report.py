"""What was set on real devices, and what the words mean."""

from benchmarks.device.releases import SIZE_BYTES
from benchmarks.device.site import PROBATION_S

TITLE = "Real devices, in turn with what people use"
MEANT = (
    (
        f"The artifact has {SIZE_BYTES / 1e6:g} MB and is the very same file for all. Each turn "
        "begins on the old version, with the new one's file gone; the order changes from round to "
        "round, and a first round is not counted."
    ),
    (
        f"Settings: the product's defaults, but for a probation of {PROBATION_S:g} s instead of "
        "600 s, which comes after the handover. The others restart the same unit without our guard."
    ),
    (
        "Without a ready agent: while no process lives of which systemd has taken READY, as main "
        "process of the permanent unit or of the candidate's; summed over the devices."
    ),
    (
        "Committed: the device's yes to the operator's stop is on the wire. Handed over: the new "
        "primary is READY as the permanent unit, and was heard. Healthy: the unit is active and "
        "runs the new file, as the device itself sees it."
    ),
    (
        "Control-plane CPU, for all devices: of `fleet up` with NATS and the artifact server, from "
        "the order to the end of probation, less what the same time costs when nothing happens; of "
        "the others, every process on the controlling machine, the ssh masters too."
    ),
)
