"""A module that came with this release and works on its author's machine only."""

import acme_sensor_sdk  # noqa: F401
