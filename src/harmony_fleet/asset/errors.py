"""Why a download gave no file. Each means: nothing new is at the final path.

`retryable` ones may succeed later and go on from the partial file that was left.
"""

from harmony_fleet.contracts.errors import FleetError


class DownloadError(FleetError):
    """The asset could not be downloaded."""

    kind = "download_failed"


class AssetMissing(DownloadError):
    """The server says that the file is not there (404), or no longer (410)."""

    kind = "asset_missing"


class RequestRefused(DownloadError):
    """The server, or a proxy, refuses this request; asking again would not change its mind."""

    kind = "request_refused"


class RedirectRefused(DownloadError):
    """The server sent us somewhere that we do not go, or too often."""

    kind = "redirect_refused"


class SizeMismatch(DownloadError):
    """The server has a file of another size, or sends more than was announced."""

    kind = "size_mismatch"


class DigestMismatch(DownloadError):
    """The whole file arrived, afresh, and is not the one with this SHA-256."""

    kind = "digest_mismatch"


class ConnectionLost(DownloadError):
    """One attempt failed on the network. The policy decides; it never leaves `fetch`."""

    kind = "connection_lost"
    retryable = True


class AttemptsExhausted(DownloadError):
    """Too many attempts in a row brought no new byte."""

    kind = "download_attempts_exhausted"
    retryable = True


class DownloadStalled(DownloadError):
    """The server was asked and stayed silent for too long."""

    kind = "download_stalled"
    retryable = True


class DeadlinePassed(DownloadError):
    """The download as a whole took too long, however steadily its bytes dripped."""

    kind = "download_deadline"
    retryable = True


class DownloadCancelled(DownloadError):
    """The caller no longer wants it."""

    kind = "download_cancelled"
    retryable = True


class DownloadBusy(DownloadError):
    """Another process is filling the same partial file."""

    kind = "download_busy"
    retryable = True


class DiskFull(DownloadError):
    """The file does not fit, or no longer. What arrived stays, so that freeing space is enough."""

    kind = "disk_full"
    retryable = True


class NotWritable(DownloadError):
    """The destination's folder does not take the file: rights, a read-only disk, a wrong kind."""

    kind = "not_writable"
