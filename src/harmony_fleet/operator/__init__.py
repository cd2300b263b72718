"""The control plane's decider: it orders, it watches, and it alone gives the word to commit.

Belongs here: the pure coordinator, its loop, the records and their stores, the HTTP API.
Does not belong here: device code, process supervision, anything a person types.
"""
