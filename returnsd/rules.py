"""What a value in the configuration may be: one rule for each kind of setting.

A rule says in words what it allows, and reads a value as YAML gives it into the value the program uses. It
raises ValueError for anything else, with better words as the message where it has them. Booleans are no
numbers here, and text in quotes is no number either. Pure.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

Read = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed, in words that follow "must be", and the function that reads it."""

    allowed: str
    read: Read


def number(low: float, high: float, unit: str = "") -> Rule:
    """Allow a number in the closed range; it is read as a float."""
    allowed = f"a number{_of(unit)} from {low} to {high}"
    return Rule(allowed, lambda value: float(_ranged(value, low, high, allowed)))


def between(low: float, high: float) -> Rule:
    """Allow a number in the open range; it is read as a float."""
    allowed = f"a number above {low} and below {high}"

    def read(value: object) -> float:
        if (found := _ranged(value, low, high, allowed)) in (low, high):
            raise ValueError
        return float(found)

    return Rule(allowed, read)


def whole(low: int, high: int, unit: str = "") -> Rule:
    """Allow a whole number in the closed range, also one written as 2.0."""
    allowed = f"a whole number{_of(unit)} from {low} to {high}"

    def read(value: object) -> int:
        found = _ranged(value, low, high, allowed)
        if found != int(found):
            raise ValueError
        return int(found)

    return Rule(allowed, read)


def choice(*words: str) -> Rule:
    """Allow one of some words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Rule("one of " + ", ".join(words), read)


def optional(rule: Rule) -> Rule:
    """Allow null too."""
    return Rule(rule.allowed + ", or null", lambda value: None if value is None else rule.read(value))


def _ranged(value: object, low: float, high: float, allowed: str) -> float:
    """Return a number within a range; NaN and infinity are in none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return value
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        raise ValueError(f"{allowed}, written without quotes or exponent")
    raise ValueError


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if not value or value != value.strip() or any(_is_unprintable(letter) for letter in value):
        raise ValueError
    return value


def _is_unprintable(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter < "\xa0" or "\ud800" <= letter <= "\udfff" or letter in "\u2028\u2029"


def _path(value: object) -> Path:
    text = _line(value)
    if text.startswith("~"):
        raise ValueError("a path written out in full (~ is not expanded)")
    return Path(text)


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    patterns = tuple(_line(pattern) for pattern in value)
    if any("/" in pattern for pattern in patterns):
        raise ValueError("a list of patterns for file names, which hold no /")
    return patterns


def _regex(value: object) -> str:
    text = _line(value)
    try:
        groups = re.compile(text).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"a regular expression ({error})") from error
    if not groups:
        raise ValueError("a regular expression with a group in parentheses around the return id")
    return text


def _url(value: object) -> str:
    text = _line(value)
    parts = urlsplit(text)  # raises ValueError for what is no address at all
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in text:
        raise ValueError
    return text


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    addresses = tuple(_line(address) for address in value)
    if not all(re.fullmatch(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+", address) for address in addresses):
        raise ValueError
    return addresses


SWITCH = Rule("true or false", _switch)
TEXT = Rule("text on one line, in quotes where it looks like something else", _line)
PATH = Rule("a path", _path)
PATTERNS = Rule("a list of file name patterns such as '*.tmp'", _patterns)
URL = Rule("an address that begins with http:// or https://", _url)
ADDRESSES = Rule("a list of e-mail addresses such as 'desk@shop.example'", _addresses)
REGEX = Rule("a regular expression with a group", _regex)
