"""One good upgrade and four bad ones on this machine, with real processes, watched from outside.

Belongs here: the story, its bad releases, and the watcher whose verdict counts.
Does not belong here: anything that the product needs; no fault switch exists in shipped code.
"""
