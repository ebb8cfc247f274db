"""The token that programs send and people sign in with, and the session that signing in gives a browser.

Read from web.token_file at the start. A session is a cookie that only a holder of the token can have been given:
its end and a MAC of it under the token. Without a token everyone who reaches the port is let in, which is why
the port must then be on the loopback interface.
"""

import hashlib
import hmac
import ipaddress
import re
import stat
from dataclasses import dataclass

from returnsd.config import Web
from returnsd.errors import ConfigError

COOKIE = "returnsd_session"
SESSION_S = 30 * 24 * 3600

_LEAST_LETTERS = 16
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Token:
    """The secret; compare with `is_sent_as` and `gave`, which take the same time whatever they are given."""

    secret: str

    def is_sent_as(self, text: str) -> bool:
        """Say whether a client sent this token."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.secret.encode())

    def session(self, now_s: int) -> str:
        """Return a session that ends SESSION_S after `now_s` (seconds since 1970)."""
        ends = str(now_s + SESSION_S)
        return f"{ends}.{self._mac(ends)}"

    def gave(self, session: str, now_s: int) -> bool:
        """Say whether a session was given under this token and has not ended."""
        ends, _, mac = session.partition(".")
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(ends).encode()):
            return False
        return ends.isdecimal() and int(ends) > now_s

    def _mac(self, ends: str) -> str:
        text = f"returnsd session until {ends}".encode("utf-8", "replace")
        return hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()


def read_token(web: Web) -> Token | None:
    """Return the token of web.token_file; ConfigError if it cannot be used.

    It cannot where there is none and the port is open to other machines, or where everybody may read its file.
    """
    if web.token_file is None:
        if not is_loopback(web.host):
            raise ConfigError(
                [
                    f"web.host: {web.host} can be reached from other machines, so web.token_file must name a file"
                    " with a token (umask 077; head -c 24 /dev/urandom | base64 > token),"
                    " or web.host must be 127.0.0.1"
                ]
            )
        return None
    try:
        secret = web.token_file.read_text(encoding="utf-8").strip()
        mode = web.token_file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"web.token_file: {web.token_file} cannot be read: {_why(error)}"]) from error
    if mode & stat.S_IRWXO:
        raise ConfigError(
            [
                f"web.token_file: everybody on this machine may use {web.token_file}:"
                f" chmod o-rwx {web.token_file}, and put a new token into it"
            ]
        )
    if len(secret) < _LEAST_LETTERS or not _TOKEN.fullmatch(secret):
        raise ConfigError(
            [
                f"web.token_file: {web.token_file} must hold one line of at least {_LEAST_LETTERS} letters, digits"
                " and signs: head -c 24 /dev/urandom | base64"
            ]
        )
    return Token(secret)


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "unknown error").lower() if isinstance(error, OSError) else "it is no text"


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
