"""The whole control plane, and pretended devices, on one machine with nothing installed first.

Belongs here: the embedded NATS server and its accounts, the local supervisor, `fleet up`.
Does not belong here: decisions; those are the operator's and the agent's.
"""
