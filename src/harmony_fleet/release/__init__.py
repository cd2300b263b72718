"""From source to the one file that devices run, and back from that file to its manifest.

Belongs here: the reproducible build and the reading of manifests. Never runs an artifact.
Does not belong here: storing or serving releases.
"""
