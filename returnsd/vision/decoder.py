"""One disposable decoder process: pictures come in over a socket, features go out. Started by the pool.

It loads what it needs, locks itself in (see jail), says that it is ready, and then answers one picture after the
other until its parent closes the socket. Whatever a picture does to it, its parent starts another one.
"""

import argparse
import gc
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.errors import ReturnsdError, Unreadable
from returnsd.vision import jail, wire
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor

_READ_BYTES = 1 << 16
_GRACE_S = 2.0
"""The pool kills at the time limit; should the pool itself be held up, an alarm does, this much later."""


def main() -> None:
    """Load, lock down, answer."""
    parser = argparse.ArgumentParser(prog="returnsd.vision.decoder", description="started by returnsd itself")
    parser.add_argument("socket", type=int)
    parser.add_argument("parent", type=int)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("decode_s", type=float)
    parser.add_argument("pixels_mp", type=int)
    asked = parser.parse_args()
    # a terminal's Ctrl-C and systemd's stop go to the whole group: the parent decides when we end
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    jail.die_with(asked.parent)
    with socket.socket(fileno=asked.socket) as line:
        try:
            extractor = Extractor.load(asked.bundle)
            limits = DecodeLimits(asked.pixels_mp)
            _warm_up(extractor)
            jail.close_in()
        except (ReturnsdError, OSError) as error:
            line.sendall(wire.pack_reply(0, wire.UNUSABLE, str(error)))
            return
        gc.freeze()  # what was loaded stays: looking through it for garbage again and again is in vain
        line.sendall(wire.pack_reply(0, wire.READY, str(len(extractor.names))))
        _answer_all(line, extractor, limits, asked.decode_s + _GRACE_S)


def _warm_up(extractor: Extractor) -> None:
    """See one picture, so that whatever loads lazily is loaded before the door closes."""
    cv2.setNumThreads(1)
    extractor(decode(_preview(np.full((16, 16, 3), 128, np.uint8), 8), DecodeLimits()))
    try:
        import pillow_heif  # noqa: F401
        from PIL import Image, ImageFile  # noqa: F401
    except ImportError:
        return


def _answer_all(line: socket.socket, extractor: Extractor, limits: DecodeLimits, alarm_s: float) -> None:
    received = bytearray()
    while True:
        number, size, preview_px = wire.REQUEST.unpack(_take(line, received, wire.REQUEST.size))
        picture = _take(line, received, size)
        signal.setitimer(signal.ITIMER_REAL, alarm_s)
        line.sendall(_see(number, picture, preview_px, extractor, limits))


def _see(number: int, picture: bytes, preview_px: int, extractor: Extractor, limits: DecodeLimits) -> bytes:
    started = time.perf_counter()
    try:
        image = decode(picture, limits)
        decoded = time.perf_counter()
        payload = _preview(image, preview_px) if preview_px else extractor(image).astype("<f4").tobytes()
    except Unreadable as finding:
        return wire.pack_reply(number, wire.REJECTED, f"{finding.reason}:{finding.detail}")
    except MemoryError:
        return wire.pack_reply(number, wire.REJECTED, "out_of_memory:")
    ended = time.perf_counter()
    return wire.pack_reply(number, wire.SEEN, "", payload, (decoded - started) * 1000, (ended - decoded) * 1000)


def _preview(image: NDArray[Any], longest_px: int) -> bytes:
    """Return a JPEG whose longer side is at most that long; a small picture is not enlarged."""
    height, width = image.shape[:2]
    scale = longest_px / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _take(line: socket.socket, received: bytearray, size: int) -> bytes:
    """Return exactly that many bytes; the process ends if the parent closed the line."""
    if len(received) < size:
        signal.setitimer(signal.ITIMER_REAL, 0)  # waiting is no work that could take too long
    while len(received) < size:
        part = line.recv(max(size - len(received), _READ_BYTES))
        if not part:
            os._exit(0)
        received += part
    taken = bytes(received[:size])
    del received[:size]
    return taken


if __name__ == "__main__":
    main()
