"""The pixels of one picture, whoever made it: upright, opaque, eight bits, in colour. Or why there are none.

Made for a process that may be taken over or killed by what it decodes, and that has one thread: while a decoder
runs, this module borrows file descriptor 2, where alone the libraries say that they made up what was missing.
All it needs is loaded and opened by the time the first picture is decoded; then it opens no file.
"""

import io
import os
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.errors import Unreadable
from returnsd.vision import formats
from returnsd.vision.formats import Header

try:
    import pillow_heif

    # The last one is what Pillow imports to read an orientation; later no file can be opened.
    from PIL import AvifImagePlugin, ImageOps, TiffImagePlugin  # noqa: F401

    _EXTRA = True
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 0  # libde265 starts one nevertheless
except ImportError:
    _EXTRA = False

_Decoded = NDArray[np.integer[Any] | np.floating[Any]]

_LEAST_SIDE = 800
"""The longest side in pixels that a picture is not reduced below. What we look at later is far smaller still."""

_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4,
            8: cv2.IMREAD_REDUCED_COLOR_8}  # fmt: skip
# Alpha and 16 bits are kept, as with IMREAD_UNCHANGED, but the picture is turned upright, which that one omits.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_BAND_ROWS = 256
_MOST_WORDS = 200

# libjpeg and libtiff go on after these and make something up. Whatever else they say is harmless: stray bytes at
# the end, odd profiles, unknown tags. Stray bytes between scans are a loss: libjpeg reports the first fault only.
_LOSS = re.compile(
    r"premature end|bad Huffman code|bad arithmetic code|instead of RST|Inconsistent progression"
    r"|extraneous bytes before marker 0x(?:d[0-7]|c4|da)"
    r"|TIFF_Error.*(?:Decod|Using code|Read error|Fill|JPEGLib)",
    re.IGNORECASE,
)
_NO_MEMORY = re.compile(r"Insufficient memory|Failed to allocate|out of memory", re.IGNORECASE)
_LOG_PREFIX = re.compile(r"^\[[^]]*\] global \S+ (?:TIFF_\w+ )?")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What a picture may cost: how many million pixels its header may announce."""

    pixels_mp: int = 50


def decode(data: bytes, limits: DecodeLimits) -> NDArray[np.uint8]:
    """Return the first picture in a file as contiguous (height, width, 3) uint8 BGR pixels.

    It is turned upright as its EXIF says, transparent places are white, and one with a side of 1600 pixels or more
    is reduced by 2, 4 or 8, to no less than 800. Unreadable: what formats.inspect finds, `too_many_pixels` (told by
    the header, nothing is decoded), `damaged`, `out_of_memory`, `heic_needs_extra`. No other error comes from data.
    """
    header = formats.inspect(data)
    if header.width * header.height > limits.pixels_mp * 1_000_000:
        raise Unreadable("too_many_pixels", f"{header.width} x {header.height}, limit {limits.pixels_mp} million")
    try:
        if header.format in ("heic", "avif"):
            return _plain(_by_extra(data, header), header)
        return _plain(_by_opencv(data, header), header)
    except MemoryError as error:
        raise Unreadable("out_of_memory", f"{header.width} x {header.height}") from error
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise Unreadable("too_many_pixels", f"{header.width} x {header.height} or more") from error
        raise _refusal(str(error)) from error


def _scale(header: Header) -> int:
    """Return by how much a picture is to be reduced: 1, 2, 4 or 8."""
    longest = max(header.width, header.height)
    return next((scale for scale in (8, 4, 2) if longest >= scale * _LEAST_SIDE), 1)


def _by_opencv(data: bytes, header: Header) -> _Decoded:
    """Decode what inspect has told apart: no other decoder of OpenCV's ever sees a byte."""
    # libjpeg decodes at a fraction of the size in a fraction of the time; the others have no such thing.
    flags = _REDUCED[_scale(header)] if header.format == "jpeg" else _AS_STORED
    tap = _tap()
    tap.open()
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    finally:
        said = tap.close()
    if picture is None:
        raise _refusal(said or f"no {header.format} that can be decoded")
    if said and header.format in ("jpeg", "tiff"):
        for line in said.splitlines():
            if _LOSS.search(line):
                raise _refusal(line)
    return picture


def _by_extra(data: bytes, header: Header) -> _Decoded:
    """Decode what OpenCV cannot, or not the right way up, with libheif and libavif."""
    if not _EXTRA:
        raise Unreadable("heic_needs_extra", "pip install 'returnsd[heic]'")
    try:
        if header.format == "heic":
            return np.asarray(pillow_heif.open_heif(data, bgr_mode=True))
        image = ImageOps.exif_transpose(AvifImagePlugin.AvifImageFile(io.BytesIO(data)))
        return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    except MemoryError:
        raise
    except Exception as error:  # they raise a dozen classes, down to RuntimeError and struct.error
        raise _refusal(str(error)) from error


def _plain(picture: _Decoded, header: Header) -> NDArray[np.uint8]:
    """Return eight bits a colour, three colours, nothing transparent, and no more pixels than needed."""
    wide = picture.dtype == np.uint16
    if wide:
        picture = cv2.convertScaleAbs(picture, alpha=1 / 257)
    if picture.dtype != np.uint8 or picture.size == 0:
        raise Unreadable("damaged", f"pixels of {picture.dtype} are not supported")
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    elif picture.shape[2] == 4:
        # libtiff multiplies colours with alpha when it converts to eight bits, nobody else does
        picture = _on_white(picture, premultiplied=header.format == "tiff" and not wide)
    scale = _scale(header)
    if scale > 1 and header.format != "jpeg":
        height, width = picture.shape[:2]
        picture = cv2.resize(picture, (-(-width // scale), -(-height // scale)), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture, np.uint8)


def _on_white(picture: _Decoded, *, premultiplied: bool) -> _Decoded:
    """Lay a transparent picture on white; in bands, for a large one would need a gigabyte."""
    flat = np.empty((*picture.shape[:2], 3), np.uint8)
    for top in range(0, len(picture), _BAND_ROWS):
        band = picture[top : top + _BAND_ROWS]
        alpha = cv2.cvtColor(band[:, :, 3], cv2.COLOR_GRAY2BGR)
        colours = band[:, :, :3] if premultiplied else cv2.multiply(band[:, :, :3], alpha, scale=1 / 255)
        flat[top : top + _BAND_ROWS] = cv2.add(colours, cv2.bitwise_not(alpha))
    return flat


def _refusal(text: str) -> Unreadable:
    """Return what to raise for a decoder that gave up and said so in its own words."""
    words = "".join(letter if letter.isprintable() else " " for letter in _LOG_PREFIX.sub("", text)[:_MOST_WORDS])
    return Unreadable("out_of_memory" if _NO_MEMORY.search(text) else "damaged", words.strip())


class _Tap:
    """What is written to file descriptor 2 between open and close; two or three system calls each."""

    def __init__(self) -> None:
        """Open all that is needed. A pipe, not a file: it also works where no file may be written."""
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)  # full: the rest is lost, and nobody waits
        self._before = os.dup(2)

    def open(self) -> None:
        """From now on what goes to descriptor 2 comes to us."""
        os.dup2(2, self._before, inheritable=False)
        os.dup2(self._in, 2)

    def close(self) -> str:
        """Give descriptor 2 back and return what was written, up to 64 KiB."""
        os.dup2(self._before, 2)
        try:
            return os.read(self._out, 1 << 16).decode("latin-1")
        except BlockingIOError:
            return ""


@cache
def _tap() -> _Tap:
    return _Tap()
