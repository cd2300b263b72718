"""A local Kubernetes cluster for development, by the pinned k3d program.

Belongs here: providing k3d, and later driving it.
Does not belong here: a download path of its own; `asset` is the only one.
"""
