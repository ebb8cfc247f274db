"""Item ids: ULIDs, so that an id sorts by arrival, carries its arrival time and is safe as a folder name.

Source: the ULID specification (48 bits of milliseconds since 1970, 80 random bits, Crockford's base 32).
The time and the randomness are arguments: the module is pure.
"""

import re
from datetime import UTC, datetime, timedelta

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LENGTH = 26
PATTERN = re.compile(r"[0-6][0-9A-HJKMNP-TV-Z]{25}")  # a 7 leads past the year 9999


def new(received_at: datetime, entropy: bytes) -> str:
    """Return the id of an item received at that moment; `entropy` is 10 random bytes."""
    if len(entropy) != 10:
        raise ValueError(f"an item id takes 10 random bytes, not {len(entropy)}")
    milliseconds = max(0, (received_at - _EPOCH) // timedelta(milliseconds=1))
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(entropy, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def received_at(item_id: str) -> datetime:
    """Return the arrival time (UTC, whole milliseconds) that the id carries."""
    milliseconds = 0
    for letter in item_id[:10]:
        milliseconds = milliseconds << 5 | _VALUES[letter]
    return _EPOCH + timedelta(milliseconds=milliseconds)


def is_valid(text: str) -> bool:
    """Say whether the text is an item id as `new` makes them."""
    return PATTERN.fullmatch(text) is not None
