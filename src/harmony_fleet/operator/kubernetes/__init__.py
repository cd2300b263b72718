"""The operator in a Kubernetes cluster: its store on custom resources, and what drives it there.

Here: the objects and their schemas, what is mirrored of them, the `DeviceStore` on them, what a
Device's spec asks for, and which replica leads. Not here: any decision about an upgrade.
"""
