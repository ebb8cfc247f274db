"""The few ways in which things go wrong here, by what the caller can do about them.

`Unreadable` is about one picture and becomes a rejected row. Everything else is about the world
(a config, a model, a disk) and carries a message that names the thing and the remedy.
"""

from datetime import datetime


class ReturnsdError(Exception):
    """Whatever returnsd raises on purpose; the message is meant for the person who runs it."""


class ConfigError(ReturnsdError):
    """The configuration cannot be used; `faults` lists every reason, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class BundleError(ReturnsdError):
    """A model bundle is missing, damaged or does not fit this version."""


class SpoolError(ReturnsdError):
    """Inbox, queue and shelves cannot work together as configured."""


class AlreadyRunning(ReturnsdError):  # noqa: N818 (a state of affairs)
    """Another process holds the lock on the same state directory."""


class DecisionError(ReturnsdError):
    """A person's decision cannot be taken: unknown item or category, or decided already."""


class AlreadyDecided(DecisionError):  # noqa: N818 (a state of affairs)
    """Someone settled the item before; `decided_by` and `decided_at` say who and when."""

    def __init__(self, message: str, decided_by: str, decided_at: datetime) -> None:
        super().__init__(message)
        self.decided_by = decided_by
        self.decided_at = decided_at


class Unreadable(ReturnsdError):  # noqa: N818 (a finding about a picture, not a fault of ours)
    """A file that is no usable picture. `reason` is machine-readable and lands in the row."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
