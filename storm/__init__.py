"""Upgrades on devices with a real systemd, good and bad in turn, each hit at a random instant.

Here is what is done, by a seed, and what is said of it. The devices are those of `tests.machines`.
"""
