"""How a device replaces a program by its next version, and goes back when that fails.

Belongs here: the pure machine and its driver, the guard, the journal, the versions on disk.
Does not belong here: heartbeats, commands and the connection. Loaded when there is an order.
"""
