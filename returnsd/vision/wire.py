"""What the pool and its decoder processes say to each other: length-prefixed frames over one socket, no pickle.

A request is one picture's bytes; a reply is what was seen in it or why nothing was. The pool does not trust
the replies: a decoder may have been taken over by the picture it read.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REQUEST = struct.Struct("<IQH")
"""Number of the job, length in bytes of the picture that follows, preview_px (0: features are wanted)."""

REPLY = struct.Struct("<IBffHI")
"""Number of the job, kind, decode_ms, feature_ms, length of the text and of the payload, in bytes."""

SEEN, REJECTED, READY, UNUSABLE = range(4)
"""Kinds of reply: a payload follows (float32 features, or a JPEG preview); "reason:detail" follows; ready, the
text says with how many features; cannot work, the text says why."""

MOST_TEXT_BYTES = 2048
MOST_PAYLOAD_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, as parsed."""

    number: int
    kind: int
    decode_ms: float
    feature_ms: float
    text: str
    payload: bytes

    @property
    def features(self) -> NDArray[np.float32]:
        """The payload as (n,) float32."""
        return np.frombuffer(self.payload, "<f4")


def pack_reply(
    number: int, kind: int, text: str = "", payload: bytes = b"", decode_ms: float = 0.0, feature_ms: float = 0.0
) -> bytes:
    """Return a reply's bytes; an overlong text is cut."""
    words = text.encode("utf-8", "backslashreplace")[:MOST_TEXT_BYTES]
    return REPLY.pack(number, kind, decode_ms, feature_ms, len(words), len(payload)) + words + payload


def take_reply(buffer: bytearray) -> Reply | None:
    """Take the first whole reply off the buffer, if there is one; ValueError if it cannot be one."""
    if len(buffer) < REPLY.size:
        return None
    number, kind, decode_ms, feature_ms, text_bytes, payload_bytes = REPLY.unpack_from(buffer)
    if kind > UNUSABLE or text_bytes > MOST_TEXT_BYTES or payload_bytes > MOST_PAYLOAD_BYTES:
        raise ValueError(f"no reply: kind {kind}, {text_bytes} bytes of text, {payload_bytes} of payload")
    begin = REPLY.size + text_bytes
    end = begin + payload_bytes
    if len(buffer) < end:
        return None
    text = buffer[REPLY.size : begin].decode("utf-8", "replace")
    payload = bytes(buffer[begin:end])
    del buffer[:end]
    return Reply(number, kind, decode_ms, feature_ms, text, payload)
