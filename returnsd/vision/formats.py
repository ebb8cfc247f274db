"""What kind of picture some bytes are, how large it is, and whether its end is there.

The content decides, never a file's name. A walk over the whole structure, jumping from part to part without
decoding one, finds what a copy that is still going on lacks. Any bytes lead to a Header or to Unreadable in
bounded time. Whether the pixels can be had is decode's business.
"""

import mmap
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from returnsd.errors import Unreadable

Data = bytes | mmap.mmap | memoryview

MOST_PARTS = 250_000
"""How many segments, chunks, blocks, boxes or strips a picture may have; more are made to keep us busy."""

_MOST_META_BYTES = 4 << 20
_ANY = ord("?")
_WRITTEN = re.compile(rb"[^\0]")
# FF 00 is a stuffed byte, FF FF a filler, FF 01 and FF D0..D7 stand alone: none of them ends a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_BMP_UNPACKED = {0, 3, 6}
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_INTEGERS = {3: "H", 4: "I", 13: "I"}
_TIFF_SIZE, _TIFF_PLACES, _TIFF_DIRECTORIES = (256, 257), ((273, 279), (324, 325)), (330, 34665, 34853)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BOXES = {b"ftyp", b"meta", b"mdat", b"idat", b"moov", b"moof", b"free", b"skip", b"wide", b"uuid"}
_HEIC_BOXES |= {b"mpvd", b"sefd", b"styp", b"sidx", b"mfra", b"pdin", b"grpl", b"mini", b"etyp"}


@dataclass(frozen=True, slots=True)
class Header:
    """A whole picture: jpeg, png, webp, bmp, tiff, gif, heic or avif; its size as stored, before any rotation."""

    format: str
    width: int
    height: int


def inspect(data: Data) -> Header:
    """Return the header of a structurally whole picture; junk behind its end does not matter.

    Unreadable: `empty`; `incomplete`, bytes are missing at the end, or were reserved and never written;
    `not_a_picture`, of none of our formats; `damaged`, the structure contradicts itself.
    """
    if not len(data):
        raise Unreadable("empty")
    head = bytes(data[:12])
    walk = next((walk for magic, walk in _FORMATS if _fits(magic, head)), None)
    if walk is None:
        raise _broken(data, 0, "its first bytes belong to no format known here", "not_a_picture")
    try:
        header = walk(data)
    except (struct.error, IndexError) as error:  # a read beyond the end
        raise Unreadable("incomplete", f"ends after {len(data)} bytes") from error
    if header.width < 1 or header.height < 1:
        raise Unreadable("damaged", f"a {header.format} of {header.width} x {header.height} pixels")
    return header


def _fits(magic: bytes, head: bytes) -> bool:
    """Say whether the first bytes are, or may become, those of a format."""
    return all(wanted in (found, _ANY) for wanted, found in zip(magic, head, strict=False))


def _broken(data: Data, at: int, detail: str, reason: str = "damaged") -> Unreadable:
    """Return what to raise at a part that makes no sense: where only zeros follow, it was not written yet."""
    if _WRITTEN.search(data, at):
        return Unreadable(reason, detail)
    return Unreadable("incomplete", "ends in zeros that were never written over")


def _too_many() -> Unreadable:
    return Unreadable("damaged", f"more than {MOST_PARTS} parts")


def _jpeg(data: Data) -> Header:
    """Segments of marker and length up to the end-of-image marker; ITU-T T.81, annex B."""
    header, scanned, at = None, False, 2
    for _ in range(MOST_PARTS):
        # Looking for the next marker also skips filler, a scan's data, and bytes that do not belong there.
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise Unreadable("incomplete", "no end-of-image marker")
        at = found.end()
        marker = data[at - 1]
        if marker == 0xD9:
            if header is None or not scanned:
                raise Unreadable("damaged", "ends before its first scan")
            return header
        (length,) = struct.unpack_from(">H", data, at)
        if length < 2 or marker < 0xC0 or marker == 0xD8:
            raise _broken(data, at, f"marker {marker:02X} with length {length} at byte {at}")
        if marker in _JPEG_FRAMES:
            if header is not None:
                raise Unreadable("damaged", "two frame headers")
            height, width = struct.unpack_from(">HH", data, at + 3)
            header = Header("jpeg", width, height)
        scanned |= marker == 0xDA
        at += length
    raise _too_many()


def _png(data: Data) -> Header:
    """Chunks of length, name, body and checksum up to IEND; PNG specification, chapter 5."""
    header, filled, at = None, False, 8
    for _ in range(MOST_PARTS):
        length, name = struct.unpack_from(">I4s", data, at)
        if length >= 1 << 31 or not name.isalpha() or (header is None) != (name == b"IHDR"):
            raise _broken(data, at + 8, f"chunk {name!r} at byte {at}")
        data[at + length + 11]
        if header is None:
            width, height = struct.unpack_from(">II", data, at + 8)
            header = Header("png", width, height)
        filled |= name == b"IDAT"
        if name == b"IEND":
            if not filled:
                raise Unreadable("damaged", "ends before its first IDAT chunk")
            return header
        at += length + 12
    raise _too_many()


def _webp(data: Data) -> Header:
    """One RIFF chunk that holds all others; WebP container specification, RFC 9649."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length == 0:
        raise Unreadable("incomplete", "its length was never written")
    end = length + 8
    data[max(end, 30) - 1]
    header, filled, at = None, False, 12
    for _ in range(MOST_PARTS):
        if at + 8 > end:
            break
        name, length = struct.unpack_from("<4sI", data, at)
        body, at = at + 8, at + 8 + length + length % 2
        if not name.strip(b"\0") or body + length > end:
            raise _broken(data, body, f"chunk {name!r} at byte {body - 8}")
        header = header or _webp_header(data, name, body)
        filled |= name in (b"VP8 ", b"VP8L", b"ANMF")
    else:
        raise _too_many()
    if header is None or not filled:
        raise Unreadable("damaged", "no picture in it")
    return header


def _webp_header(data: Data, name: bytes, body: int) -> Header:
    """Read the size from the first chunk; RFC 6386 section 9.1 (lossy), RFC 9649 (lossless, extended)."""
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, body + 6)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, body + 1)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name == b"VP8X":
        width, height = (int.from_bytes(data[body + at : body + at + 3], "little") + 1 for at in (4, 7))
        return Header("webp", width, height)
    raise Unreadable("damaged", f"begins with chunk {name!r}")


def _bmp(data: Data) -> Header:
    """A header that tells where the rows begin and how many there are."""
    file_size, _, offset, length = struct.unpack_from("<IIII", data, 2)
    if length not in _BMP_HEADERS:  # two letters alone make no magic
        raise Unreadable("not_a_picture", "begins with BM, but is no bitmap")
    packing = packed_size = 0
    if length == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, packing, packed_size = struct.unpack_from("<iiHHII", data, 18)
    if offset < 14 + length or width < 0:
        raise _broken(data, 26, f"rows of {width} pixels at byte {offset}")
    rows = (width * bits + 31) // 32 * 4 * abs(height)
    end = offset + (rows if packing in _BMP_UNPACKED else packed_size or file_size - offset)
    if end > len(data):
        raise Unreadable("incomplete", f"{len(data)} of {end} bytes")
    return Header("bmp", width, abs(height))


def _gif(data: Data) -> Header:
    """Blocks of sub-blocks up to the trailer; GIF89a specification."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    filled, at = False, 13 + _gif_palette(flags)
    parts = iter(range(MOST_PARTS))
    for _ in parts:
        block = data[at]
        if block == 0x3B:
            if not filled:
                raise Unreadable("damaged", "ends before its first picture")
            return Header("gif", width, height)
        if block not in (0x21, 0x2C):
            raise _broken(data, at, f"block {block:02X} at byte {at}")
        filled |= block == 0x2C
        at += 2 if block == 0x21 else 11 + _gif_palette(data[at + 9])
        for _ in parts:
            length = data[at]
            at += length + 1
            if not length:
                break
    raise _too_many()


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff(data: Data) -> Header:
    """Directories anywhere in the file, each of which may point to pixels and further ones; TIFF 6.0."""
    order = "<" if data[0] == ord("I") else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    if first == 0:
        raise Unreadable("incomplete", "its directory was never written")
    header, waiting, seen, parts = None, [first], {0}, 0
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        numbers = {}
        (count,) = struct.unpack_from(f"{order}H", data, at)
        (following,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, values = _tiff_entry(data, entry, order)
            numbers[tag] = values
            parts += len(values) + 1
            if parts > MOST_PARTS:
                raise _too_many()
        _tiff_pixels(data, numbers)
        if header is None:
            width, height = (next(iter(numbers.get(tag, ())), 0) for tag in _TIFF_SIZE)
            if not any(tag in numbers for tag, _ in _TIFF_PLACES):
                raise _broken(data, at, "no picture in its first directory")
            header = Header("tiff", width, height)
        waiting += [following, *(place for tag in _TIFF_DIRECTORIES for place in numbers.get(tag, ()))]
    if header is None:
        raise Unreadable("damaged", "no directory")
    return header


def _tiff_entry(data: Data, at: int, order: str) -> tuple[int, tuple[int, ...]]:
    """Return one entry's tag and, where we need them, its values."""
    tag, kind, count, place = struct.unpack_from(f"{order}HHII", data, at)
    length = _TIFF_SIZES.get(kind, 0) * count
    if length <= 4:
        place = at + 8
    elif place + length > len(data):
        raise Unreadable("incomplete", f"tag {tag} lies beyond the end")
    wanted = tag in _TIFF_SIZE or tag in _TIFF_DIRECTORIES or any(tag in pair for pair in _TIFF_PLACES)
    if not wanted or kind not in _TIFF_INTEGERS:
        return tag, ()
    if count > MOST_PARTS:
        raise _too_many()
    return tag, struct.unpack_from(f"{order}{count}{_TIFF_INTEGERS[kind]}", data, place)


def _tiff_pixels(data: Data, numbers: dict[int, tuple[int, ...]]) -> None:
    """Raise `incomplete` unless all strips and tiles of a directory lie within the file."""
    for places, lengths in _TIFF_PLACES:
        ends = [sum(pair) for pair in zip(numbers.get(places, ()), numbers.get(lengths, ()), strict=False)]
        if max([*ends, *numbers.get(places, ())], default=0) > len(data):
            raise Unreadable("incomplete", "pixels lie beyond the end")


def _heic(data: Data) -> Header:
    """Boxes, one of which tells where the items' bytes lie; ISO/IEC 14496-12 and 23008-12."""
    (length,) = struct.unpack_from(">I", data, 0)
    data[length - 1]
    brands = {bytes(data[at : at + 4]) for at in range(8, min(length, 1024), 4)}
    if not brands & (_HEIC_BRANDS | _AVIF_BRANDS):
        raise Unreadable("not_a_picture", f"a container of brand {bytes(data[8:12])!r}")
    size, end = None, 0
    for name, body, stop in _boxes(data, 0, len(data)):
        if size is not None and end <= body - 8 and name not in _HEIC_BOXES:
            break  # what a phone appended
        if stop < body:
            raise _broken(data, body, f"box {name!r} of {stop - body + 8} bytes")
        if stop > len(data):
            raise Unreadable("incomplete", f"{name!r} reaches beyond the end")
        if name == b"meta" and size is None:
            size, end = _heic_meta(data, body + 4, stop)
    if size is None:
        raise Unreadable("incomplete", "no meta box")
    if end > len(data):
        raise Unreadable("incomplete", "pixels lie beyond the end")
    return Header("avif" if brands & _AVIF_BRANDS else "heic", *size)


def _boxes(data: Data, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's name, the place of its body, and its end, which may be anywhere."""
    for _ in range(MOST_PARTS):
        if at + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        elif length == 0 and name.strip(b"\0"):
            length = end - at
        at += length
        yield name, body, at
    raise _too_many()


def _heic_meta(data: Data, at: int, end: int) -> tuple[tuple[int, int], int]:
    """Return the largest item's width and height, and the end of the last item's bytes in the file."""
    sizes, reach = [], 0
    if end - at > _MOST_META_BYTES:
        raise Unreadable("damaged", f"a meta box of {end - at} bytes")
    for name, body, stop in _inner_boxes(data, at, end):
        if name == b"iloc":
            reach = max(reach, _heic_reach(data, body, stop))
        elif name == b"iprp":
            properties = (place for name, *place in _inner_boxes(data, body, stop) if name == b"ipco")
            # Tiles and thumbnails have sizes too. Their whole is what is shown, and never smaller.
            sizes += [
                struct.unpack_from(">II", data, body + 4)
                for place in properties
                for name, body, _ in _inner_boxes(data, *place)
                if name == b"ispe"
            ]
    if not sizes:
        raise Unreadable("damaged", "no picture size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return (width, height), reach


def _inner_boxes(data: Data, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for name, body, stop in _boxes(data, at, end):
        if not body <= stop <= end:
            raise Unreadable("damaged", f"{name!r} does not fit into what holds it")
        yield name, body, stop


def _heic_reach(data: Data, at: int, end: int) -> int:
    """Return the end of the last extent that an iloc box places in this file; ISO/IEC 14496-12, 8.11.3."""
    version = data[at]
    wide = 4 if version == 2 else 2

    def number(width: int) -> int:
        nonlocal at
        at += width
        return int.from_bytes(data[at - width : at], "big")

    at += 4
    nibbles = number(2)
    offset_width, length_width, base_width = nibbles >> 12, nibbles >> 8 & 15, nibbles >> 4 & 15
    index_width = nibbles & 15 if version else 0
    reach = parts = 0
    for _ in range(number(wide)):
        number(wide)
        in_file = (number(2) & 15 if version else 0) == 0
        in_file &= number(2) == 0
        base = number(base_width)
        extents = number(2)
        parts += 1 + extents
        if at > end or parts > MOST_PARTS:
            raise Unreadable("damaged", "a table of places that does not fit its box")
        for _ in range(extents):
            number(index_width)
            offset, length = number(offset_width), number(length_width)
            if in_file:
                reach = max(reach, base + offset + length)
    return reach


_FORMATS: tuple[tuple[bytes, Callable[[Data], Header]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF????WEBP", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"\0\0??ftyp", _heic),
    (b"BM", _bmp),
)
