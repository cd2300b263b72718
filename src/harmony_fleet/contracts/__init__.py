"""The words that devices and the control plane exchange, and the checks on them.

Belongs here: wire types, subjects, identities, their codec, the root of all errors.
Does not belong here: anything that does I/O, reads a clock or decides. Runs on the device.
"""
