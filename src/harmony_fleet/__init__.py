"""harmony-fleet: upgrades the agent on every device, and never leaves one without an agent."""

__version__ = "0.1.0"
