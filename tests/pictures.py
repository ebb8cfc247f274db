"""Small real pictures in all formats and colour types, made by Pillow and OpenCV for the tests."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

pillow_heif.register_heif_opener()

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, YELLOW = (220, 30, 40), (20, 200, 60), (30, 50, 210), (240, 220, 20)
ORIENTATION = 0x112


def scene(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Return RGB pixels of four colours, one a quarter: red, green over blue, yellow; no two turns look alike."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = YELLOW
    return pixels


def picture(mode: str = "RGB") -> Image.Image:
    """Return the scene in one of Pillow's modes; `RGBA` and `LA` are half transparent."""
    plain = Image.fromarray(scene())
    if mode in ("RGBA", "LA"):
        plain.putalpha(128)
    if mode == "P":
        return plain.quantize(8)
    if mode == "I;16":
        return Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257)
    return plain if plain.mode == mode else plain.convert(mode)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of a file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    """Return an EXIF block that says how to turn a picture upright."""
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def jpeg(**options: Any) -> bytes:
    """Return the scene as a JPEG of high quality."""
    return encode(picture(), "JPEG", **{"quality": 95, "subsampling": 0, **options})


def noise_jpeg(width: int, height: int, seed: int = 1) -> bytes:
    """Return a JPEG that no one has seen before."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return by_opencv(".jpg", pixels)


def with_orientation(kind: str, orientation: int, mode: str = "RGB") -> bytes:
    """Return the scene in a format that carries EXIF, to be turned upright."""
    lossless: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "HEIF": {"quality": 95},
        "AVIF": {"quality": 95},
    }
    return encode(picture(mode), kind, exif=exif(orientation), **lossless.get(kind, {}))


def by_opencv(suffix: str, pixels: NDArray[Any], *options: int) -> bytes:
    """Return the bytes of a file that OpenCV writes; pixels are BGR."""
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def _wide(alpha: bool) -> NDArray[np.uint16]:
    pixels = scene()[:, :, ::-1].astype(np.uint16) * 257
    if not alpha:
        return pixels
    return np.dstack([pixels, np.full((HEIGHT, WIDTH), 128 * 257, np.uint16)])


def _many(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a file of several pictures, the scene first."""
    rest = [Image.new(mode, (WIDTH, HEIGHT)), Image.new(mode, (WIDTH, HEIGHT), "white")]
    return encode(picture(mode), kind, save_all=True, append_images=rest, **options)


_MAKERS: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "jpeg progressive": lambda: jpeg(progressive=True),
    "jpeg subsampled": lambda: jpeg(subsampling=2),
    "jpeg with restarts": lambda: by_opencv(".jpg", scene()[:, :, ::-1], cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "jpeg with thumbnail": lambda: with_thumbnail(jpeg()),
    "jpeg grey": lambda: encode(picture("L"), "JPEG", quality=95),
    "jpeg cmyk": lambda: encode(picture("CMYK"), "JPEG", quality=95),
    "jpeg ycck": lambda: ycck_jpeg(),
    "jpeg of several": lambda: _many("MPO", quality=95),
    "png": lambda: encode(picture(), "PNG"),
    "png grey": lambda: encode(picture("L"), "PNG"),
    "png one bit": lambda: encode(picture("1"), "PNG"),
    "png palette": lambda: encode(picture("P"), "PNG"),
    "png palette transparent": lambda: encode(picture("P"), "PNG", transparency=bytes([128] * 8)),
    "png alpha": lambda: encode(picture("RGBA"), "PNG"),
    "png grey alpha": lambda: encode(picture("LA"), "PNG"),
    "png 16 bit": lambda: by_opencv(".png", _wide(alpha=False)),
    "png 16 bit grey": lambda: encode(picture("I;16"), "PNG"),
    "png 16 bit alpha": lambda: by_opencv(".png", _wide(alpha=True)),
    "png interlaced": lambda: interlaced_png(),
    "png animated": lambda: _many("PNG"),
    "webp": lambda: encode(picture(), "WEBP", quality=95),
    "webp lossless": lambda: encode(picture(), "WEBP", lossless=True),
    "webp alpha": lambda: encode(picture("RGBA"), "WEBP", quality=95),
    "webp lossless alpha": lambda: encode(picture("RGBA"), "WEBP", lossless=True),
    "webp animated": lambda: _many("WEBP", quality=95),
    "webp animated alpha": lambda: _many("WEBP", mode="RGBA", lossless=True),
    "bmp": lambda: encode(picture(), "BMP"),
    "bmp grey": lambda: encode(picture("L"), "BMP"),
    "bmp one bit": lambda: encode(picture("1"), "BMP"),
    "bmp palette": lambda: encode(picture("P"), "BMP"),
    "bmp alpha": lambda: by_opencv(".bmp", np.asarray(picture("RGBA"))[:, :, [2, 1, 0, 3]]),
    "bmp top down": lambda: top_down_bmp(),
    "bmp run length": lambda: run_length_bmp(),
    "tiff": lambda: encode(picture(), "TIFF"),
    "tiff big endian": lambda: encode(picture(), "TIFF", big_endian=True),
    "tiff grey": lambda: encode(picture("L"), "TIFF"),
    "tiff one bit fax": lambda: encode(picture("1"), "TIFF", compression="group4"),
    "tiff palette": lambda: encode(picture("P"), "TIFF"),
    "tiff alpha": lambda: encode(picture("RGBA"), "TIFF"),
    "tiff cmyk": lambda: encode(picture("CMYK"), "TIFF"),
    "tiff lzw": lambda: encode(picture(), "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: encode(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": lambda: encode(picture(), "TIFF", compression="packbits"),
    "tiff jpeg": lambda: encode(picture(), "TIFF", compression="jpeg", quality=95),
    "tiff 16 bit": lambda: by_opencv(".tiff", _wide(alpha=False)),
    "tiff 16 bit grey": lambda: encode(picture("I;16"), "TIFF"),
    "tiff 16 bit alpha": lambda: by_opencv(".tiff", _wide(alpha=True)),
    "tiff of several pages": lambda: _many("TIFF", compression="tiff_lzw"),
    "gif": lambda: encode(picture(), "GIF", interlace=0),
    "gif interlaced": lambda: encode(picture(), "GIF", interlace=1),
    "gif transparent": lambda: encode(picture("P"), "GIF", transparency=_index_of(RED)),
    "gif animated": lambda: _many("GIF"),
    "heic": lambda: encode(picture(), "HEIF", quality=95),
    "heic grey": lambda: encode(picture("L"), "HEIF", quality=95),
    "heic alpha": lambda: encode(picture("RGBA"), "HEIF", quality=95),
    "heic 10 bit": lambda: ten_bit_heic(),
    "heic of several": lambda: _many("HEIF", quality=95),
    "avif": lambda: encode(picture(), "AVIF", quality=95),
    "avif alpha": lambda: encode(picture("RGBA"), "AVIF", quality=95),
    "avif animated": lambda: _many("AVIF", quality=95),
}
NAMES = list(_MAKERS)
"""Every kind of file there is here; the first word is the format."""


@cache
def whole(name: str) -> bytes:
    """Return a whole file by its name in NAMES."""
    return _MAKERS[name]()


def with_thumbnail(data: bytes) -> bytes:
    """Return a JPEG with another JPEG, end marker and all, inside its EXIF segment."""
    body = b"Exif\0\0" + encode(picture().resize((16, 8)), "JPEG")
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def ycck_jpeg() -> bytes:
    """Return the CMYK scene as Photoshop stores it: inverted, as luma and chroma, with an Adobe marker."""
    inks = np.asarray(picture("CMYK"))
    luma_chroma = np.asarray(Image.fromarray(inks[:, :, :3]).convert("YCbCr"))
    stored = np.dstack([luma_chroma, 255 - inks[:, :, 3]])
    data = encode(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=95)  # Pillow inverts, too
    adobe = data.index(b"Adobe")
    return data[: adobe + 11] + b"\2" + data[adobe + 12 :]


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return one PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def interlaced_png() -> bytes:
    """Return a PNG of seven passes (Adam7), which Pillow and OpenCV read but do not write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    pixels = scene()
    rows = [b"\0" + row.tobytes() for top, left, down, right in passes for row in pixels[top::down, left::right]]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, body) for name, body in chunks)


def top_down_bmp() -> bytes:
    """Return a BMP whose first row is the upper one: its height is negative."""
    data = encode(picture().transpose(Image.Transpose.FLIP_TOP_BOTTOM), "BMP")
    return data[:22] + struct.pack("<i", -HEIGHT) + data[26:]


def run_length_bmp() -> bytes:
    """Return a BMP of eight bits in runs (RLE8): one run for each half of a row."""
    palette = b"".join(bytes([blue, green, red, 0]) for red, green, blue in (RED, GREEN, BLUE, YELLOW))
    half = WIDTH // 2
    lower, upper = (bytes([half, left, half, left + 1, 0, 0]) * (HEIGHT // 2) for left in (2, 0))
    runs = lower + upper + b"\0\1"
    start = 54 + len(palette)
    header = struct.pack("<2sIIIIiiHHIIIIII", b"BM", start + len(runs), 0, start, 40, WIDTH, HEIGHT, 1, 8, 1,
                         len(runs), 2835, 2835, 4, 0)  # fmt: skip
    return header + palette + runs


def ten_bit_heic() -> bytes:
    """Return the scene as a HEIC of ten bits a colour, as newer phones make."""
    pixels = scene().astype(np.uint16) * 257
    file = io.BytesIO()
    pillow_heif.encode("RGB;16", (WIDTH, HEIGHT), pixels.tobytes(), file, quality=95)
    return file.getvalue()


def _index_of(colour: tuple[int, int, int]) -> int:
    """Return a colour's place in the palette of the scene."""
    paletted = picture("P")
    x = 0 if colour in (RED, BLUE) else WIDTH - 1
    y = 0 if colour in (RED, GREEN) else HEIGHT - 1
    return int(np.asarray(paletted)[y, x])


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return pixels as a viewer shows them; EXIF 2.32, table of tag 274."""
    turns: dict[int, Callable[[Pixels], Pixels]] = {
        1: lambda stored: stored,
        2: np.fliplr,
        3: lambda stored: np.rot90(stored, 2),
        4: np.flipud,
        5: lambda stored: stored.swapaxes(0, 1),
        6: lambda stored: np.rot90(stored, -1),
        7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
        8: lambda stored: np.rot90(stored, 1),
    }
    return turns[orientation](pixels)
