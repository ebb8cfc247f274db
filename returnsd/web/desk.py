"""The desk: all that the page's process holds, opened in the right order and given back in the reverse.

Four clerks look after the ledger: one writes people's decisions, one reads what waits, one searches, one counts; so
that a long count or search holds up no decision. A fifth puts submitted pictures into the queue.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from returnsd import config as configuration
from returnsd import disk
from returnsd.config import Config
from returnsd.errors import ConfigError
from returnsd.figures import Figures
from returnsd.history import History
from returnsd.ledger import LEDGER
from returnsd.logs import Logger
from returnsd.service import open_model
from returnsd.spool import Spool
from returnsd.web.clerk import Clerk
from returnsd.web.deciding import Deciding
from returnsd.web.judge import Judge
from returnsd.web.places import Places
from returnsd.web.previews import Previews
from returnsd.web.pulse import Pulse
from returnsd.web.reading import Reading
from returnsd.web.submitting import Submitting
from returnsd.web.token import Token, read_token
from returnsd.web.traffic import Traffic

LOCK = "web.lock"
"""The lock's name in paths.state: one process takes files out of review."""


@dataclass(slots=True)
class Desk:
    """What requests are answered from. Use from the event loop; `config` changes at a reload."""

    config: Config
    log: Logger
    token: Token | None
    spool: Spool
    judge: Judge
    deciding: Clerk[Deciding]
    reading: Clerk[Reading]
    searching: Clerk[History]
    counting: Clerk[Figures]
    submitting: Clerk[Submitting]
    previews: Previews
    places: Places
    pulse: Pulse
    traffic: Traffic

    @property
    def limit_bytes(self) -> int:
        """The largest picture that is taken."""
        return self.config.limits.file_mib << 20

    async def reload(self, config: Config) -> list[str]:
        """Go over to another configuration and its model; return the keys that changed.

        Raises ConfigError if what changed needs a restart, BundleError or OSError if the model cannot be used;
        then all stays as it was.
        """
        changed = configuration.differences(self.config, config)
        fixed = [key for key in changed if key.startswith(("paths.", "web.host", "web.port", "web.token_file"))]
        if fixed:
            raise ConfigError([f"{', '.join(fixed)}: cannot change while the page is served: restart it"])
        model = open_model(config)
        await self.judge.use(model)
        self.config = config
        return changed


@contextmanager
def open_desk(config: Config, log: Logger) -> Iterator[Desk]:
    """Open everything, hold it for the block; raises if one part cannot be had."""
    with ExitStack() as stack:
        token = read_token(config.web)
        spool = Spool(config.paths)
        stack.enter_context(disk.lock(config.paths.state / LOCK))
        judge = Judge(config, open_model(config), log)
        judge.start()
        stack.callback(judge.stop)
        ledger = config.paths.state / LEDGER
        deciding = Clerk("deciding", lambda: Deciding(config, log))
        stack.callback(deciding.close)
        reading = Clerk("reading", lambda: Reading(ledger, lambda: judge.model.bundle))
        stack.callback(reading.close)
        searching = Clerk("searching", lambda: History(ledger))
        stack.callback(searching.close)
        counting = Clerk("counting", lambda: Figures(ledger))
        stack.callback(counting.close)
        submitting = Clerk("submitting", lambda: Submitting(spool, ledger, log))
        stack.callback(submitting.close)
        yield Desk(
            config=config,
            log=log,
            token=token,
            spool=spool,
            judge=judge,
            deciding=deciding,
            reading=reading,
            searching=searching,
            counting=counting,
            submitting=submitting,
            previews=Previews(judge, spool, config.limits.file_mib << 20),
            places=Places(),
            pulse=Pulse(),
            traffic=Traffic(started=time.time()),
        )
