"""harmony-fleet: upgrades the agent on every device, and never leaves one without a working agent."""

__version__ = "0.1.0"
