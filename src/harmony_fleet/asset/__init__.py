"""One URL in, one verified file out, or a typed error and nothing at the final path.

Belongs here: download, resume, verification and landing of one file. Runs on the device.
Does not belong here: what the file is for, and who is allowed to have it.
"""

from harmony_fleet.asset.download import DownloadableAsset
from harmony_fleet.asset.policy import Limits

__all__ = ["DownloadableAsset", "Limits"]
