"""Frames between the pool and its decoders."""

import numpy as np
import pytest

from returnsd.vision import wire


def test_a_reply_arrives_as_it_was_sent() -> None:
    features = np.array([0.5, -1.0, 3.25], np.float32)
    buffer = bytearray(wire.pack_reply(7, wire.SEEN, "grüße", features.tobytes(), 1.5, 2.5) + b"rest")

    reply = wire.take_reply(buffer)

    assert reply is not None
    assert (reply.number, reply.kind, reply.text) == (7, wire.SEEN, "grüße")
    assert (reply.decode_ms, reply.feature_ms) == (1.5, 2.5)
    assert reply.features.tolist() == [0.5, -1.0, 3.25]
    assert buffer == b"rest"


def test_a_reply_is_not_taken_before_its_last_byte() -> None:
    whole = wire.pack_reply(1, wire.REJECTED, "damaged:cut", b"payload")

    for length in range(len(whole)):
        buffer = bytearray(whole[:length])

        assert wire.take_reply(buffer) is None
        assert len(buffer) == length


@pytest.mark.parametrize(
    ("kind", "words", "payload"), [(9, 0, 0), (0, wire.MOST_TEXT_BYTES + 1, 0), (0, 0, 1 << 30)]
)
def test_what_no_decoder_of_ours_sends_is_refused(kind: int, words: int, payload: int) -> None:
    buffer = bytearray(wire.REPLY.pack(1, kind, 0.0, 0.0, words, payload))

    with pytest.raises(ValueError, match="no reply"):
        wire.take_reply(buffer)


def test_an_endless_text_is_cut() -> None:
    reply = wire.take_reply(bytearray(wire.pack_reply(1, wire.REJECTED, "x" * 100_000)))

    assert reply is not None
    assert len(reply.text) == wire.MOST_TEXT_BYTES
