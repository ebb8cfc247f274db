"""What the pool and its decoder processes say to each other: length-prefixed frames over one socket, no pickle.

A request is one picture's bytes; a reply is what was seen in it or why nothing was. The pool does not trust
the replies: a decoder may have been taken over by the picture it read.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REQUEST = struct.Struct("<IQ")
"""Number of the job, length of the picture that follows, in bytes."""

REPLY = struct.Struct("<IBffHI")
"""Number of the job, kind, decode_ms, feature_ms, length of the text in bytes, count of float32 features."""

SEEN, REJECTED, READY, UNUSABLE = range(4)
"""Kinds of reply: features follow; "reason:detail" follows; ready, the text
says with how many features; cannot work, the text says why."""

MOST_TEXT_BYTES = 2048
MOST_FEATURES = 65_536

NOTHING: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, as parsed."""

    number: int
    kind: int
    decode_ms: float
    feature_ms: float
    text: str
    features: NDArray[np.float32]


def pack_reply(
    number: int,
    kind: int,
    text: str = "",
    features: NDArray[np.float32] = NOTHING,
    decode_ms: float = 0.0,
    feature_ms: float = 0.0,
) -> bytes:
    """Return a reply's bytes; an overlong text is cut."""
    words = text.encode("utf-8", "backslashreplace")[:MOST_TEXT_BYTES]
    head = REPLY.pack(number, kind, decode_ms, feature_ms, len(words), len(features))
    return head + words + features.astype("<f4").tobytes()


def take_reply(buffer: bytearray) -> Reply | None:
    """Take the first whole reply off the buffer, if there is one; ValueError if it cannot be one."""
    if len(buffer) < REPLY.size:
        return None
    number, kind, decode_ms, feature_ms, text_bytes, count = REPLY.unpack_from(buffer)
    if kind > UNUSABLE or text_bytes > MOST_TEXT_BYTES or count > MOST_FEATURES:
        raise ValueError(f"no reply: kind {kind}, {text_bytes} bytes of text, {count} features")
    begin = REPLY.size + text_bytes
    end = begin + 4 * count
    if len(buffer) < end:
        return None
    text = buffer[REPLY.size : begin].decode("utf-8", "replace")
    features = np.frombuffer(bytes(buffer[begin:end]), "<f4")
    del buffer[:end]
    return Reply(number, kind, decode_ms, feature_ms, text, features)
