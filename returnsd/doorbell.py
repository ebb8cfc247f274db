"""The doorbell: file events as hints where to look, and the one thing the worker's loop waits on.

watchdog's observer runs in threads of its own; all they do is append a path and write one byte to an event
descriptor. Whatever they miss, the scan finds. A dead observer is replaced, an overflow asks for a scan.
"""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

MOST_HINTS = 10_000

# Each of our own take-ins is a move out of the inbox, and watchdog 7 holds back all that happens within half a
# second after one, to see whether it was a rename inside. We only want to know where to look: no waiting.
InotifyMoveEventGrouper.delay = 0.0


class Doorbell(FileSystemEventHandler):
    """Collects the paths that events name. `fileno` is readable while it rings."""

    def __init__(self, folder: Path, *, recursive: bool, events: bool = True) -> None:
        """Prepare to listen; `start` begins."""
        self._folder = folder
        self._recursive = recursive
        self._events = events
        self._hints: deque[str] = deque(maxlen=MOST_HINTS)
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._observer: BaseObserver | None = None
        self._rung = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when it rings."""
        return self._event_fd

    def start(self) -> None:
        """Begin to listen; OSError if the folder cannot be watched (the scan still works)."""
        if not self._events:
            return
        observer = Observer()
        observer.schedule(
            self,
            str(self._folder),
            recursive=self._recursive,
            event_filter=[FileCreatedEvent, FileClosedEvent, FileMovedEvent],
        )
        observer.start()
        self._observer = observer

    def reconfigure(self, *, recursive: bool, events: bool) -> None:
        """Listen otherwise from the next `start` on."""
        self._recursive, self._events = recursive, events

    def alive(self) -> bool:
        """Say whether events can still arrive (a thread of watchdog may die while the rest lives on)."""
        if not self._events:
            return True
        observer = self._observer
        return observer is not None and observer.is_alive() and all(e.is_alive() for e in observer.emitters)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event (called in watchdog's thread)."""
        path = event.dest_path or event.src_path
        self._hints.append(os.fsdecode(path))
        if not self._rung:
            self.ring()

    def ring(self) -> None:
        """Wake whoever waits; safe in a signal handler and in any thread."""
        self._rung = True
        with suppress(BlockingIOError, OSError):
            os.eventfd_write(self._event_fd, 1)

    def answer(self) -> tuple[list[str], bool]:
        """Return the paths hinted at since the last answer, and whether some hints were lost."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        self._rung = False  # only now: an event before this line is among the hints below, one after it rings anew
        hints: dict[str, None] = {}
        lost = len(self._hints) == MOST_HINTS
        while self._hints:
            hints[self._hints.popleft()] = None
        return list(hints), lost

    def stop(self) -> None:
        """Stop listening; the descriptor stays open for `start`."""
        if self._observer is not None:
            with suppress(RuntimeError):
                self._observer.stop()
                self._observer.join(timeout=2)
            self._observer = None

    def close(self) -> None:
        """Stop listening for good."""
        self.stop()
        os.close(self._event_fd)
