"""The local supervisor: a stand-in for systemd on one pretended device, as a process of its own.

Belongs here: units, transient processes, the dead-man timer, the control socket.
Does not belong here: any decision about an upgrade; it starts, watches and ends processes.
"""
