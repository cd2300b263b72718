"""Every state that the shipped decisions can reach, in a small world with a budget of faults.

Belongs here: what composes the agent's machine, the guard and the coordinator with models of the
disk, the message plane, the service manager and the power; the search; what is checked.
Does not belong here: time, and many devices. Those are the simulator's.
"""
