"""The command line `fleet`: one file per noun, an HTTP client, and the rendering of answers.

Belongs here: arguments, words for people, exit status.
Does not belong here: decisions, and the operator's state; both are behind the HTTP API.
"""
