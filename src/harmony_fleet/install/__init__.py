"""A device's first install: what goes where, and Ansible, which brings it there.

Belongs here: the plan, the sources of files, the Ansible role with its units, running Ansible.
Does not belong here: words for people and the operator's API (`cli`), the agent's own upgrades.
"""

from pathlib import Path
from typing import Final

ROLES: Final = Path(__file__).parent / "roles"
"""For `roles_path` of a playbook that uses the role `fleet_agent` by itself."""
EXTRA: Final = "harmony-fleet[install]"
"""What pip has to install for it."""
