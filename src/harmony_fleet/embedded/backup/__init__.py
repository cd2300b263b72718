"""A control plane's data folder as one file, and back: `fleet backup` and `fleet restore`.

Belongs here: what a backup holds, making one, checking one, putting one in place whole.
Does not belong here: what the operator does about devices that know more than a restored store.
"""
