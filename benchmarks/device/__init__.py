"""`make bench-device`: upgrades of an agent on real systemd, in turn with what people use today.

Belongs here: the devices, what is watched of them from outside, one file for each contender, and
what is printed. What the others bring to the device lies in `field/`, as a person would write it.
Does not belong here: anything that only harmony-fleet could be measured by.
"""
