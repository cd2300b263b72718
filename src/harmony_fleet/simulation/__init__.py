"""The shipped code on a world of its own: to explore every state of it, and to simulate fleets.

Belongs here: models of the world (disk, message plane, service manager, power, time), what composes
the shipped code with them, and what judges the outcome. No device and no operator needs it.
"""
