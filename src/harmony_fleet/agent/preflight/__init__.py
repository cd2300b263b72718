"""Would an upgrade work on this device? Looks, and changes nothing.

Belongs here: what is measured, and what each measurement means. Loaded when the operator asks.
Does not belong here: the upgrade's own checks, which are made again, by doing, when it is ordered.
"""
