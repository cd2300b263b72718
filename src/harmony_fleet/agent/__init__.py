"""`fleet-agent`, the program on a device: heartbeats, answers commands, upgrades itself.

Belongs here: everything of the device that is not shared with the control plane.
Does not belong here: the operator's code, and any library but nats-py.
"""
