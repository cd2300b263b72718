"""A local Kubernetes cluster for development, by the pinned k3d program.

Belongs here: providing k3d, driving it, and asking the container engine what k3d does not tell.
Does not belong here: a download path of its own; `asset` is the only one.
"""
