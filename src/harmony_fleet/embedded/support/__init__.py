"""One file for whoever looks into a fault, without a secret in it: `fleet support-bundle`.

Belongs here: collecting from this machine, and taking secrets out of all that was collected.
Does not belong here: sending it anywhere; a person looks through it first.
"""
