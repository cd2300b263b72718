"""What is wrong with an installation, and how to mend it: `fleet doctor`.

Belongs here: checks of what lies on this machine. They look, and repair nothing.
Does not belong here: what only a running control plane can say; the command line asks it.
"""
