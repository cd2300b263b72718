"""The message plane as this project uses it: a supervised NATS connection and thin verbs on it.

Belongs here: connecting, credentials, key-value reads and writes, requests. Runs on the device.
Does not belong here: what a message means, and any decision.
"""
