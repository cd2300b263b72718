"""Fakes that behave, and the contract suites that they and the real adapters both pass.

Belongs here: what someone who writes an executor or a store needs to test it.
Does not belong here: test libraries; a suite is plain functions that assert.
"""
