"""Structure: real files of every kind whole, cut anywhere, with junk behind them, and twisted at random."""

import mmap
import struct
from pathlib import Path

import pictures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import HEIGHT, WIDTH, whole

from returnsd.errors import Unreadable
from returnsd.vision import formats
from returnsd.vision.formats import Header, inspect

REASONS = {"empty", "incomplete", "not_a_picture", "damaged"}
every_kind = pytest.mark.parametrize("name", pictures.NAMES)


def reason(data: bytes) -> str:
    """Return why some bytes are no whole picture, or `whole`."""
    try:
        inspect(data)
    except Unreadable as finding:
        return finding.reason
    return "whole"


@every_kind
def test_a_whole_file_of_every_kind_tells_format_and_size(name: str) -> None:
    header = inspect(whole(name))

    assert header.format == name.split()[0]
    assert (header.width, header.height) == ((64, 64) if header.format == "heic" else (WIDTH, HEIGHT))


@every_kind
def test_a_file_cut_off_anywhere_is_incomplete(name: str) -> None:
    data = _needed(name)

    reasons = {reason(data[:length]) for length in range(1, len(data))}

    assert reasons == {"incomplete"}


def _needed(name: str) -> bytes:
    """Return a whole file without the bytes that no part of it speaks of."""
    data = whole(name)
    if name == "jpeg of several":  # the second begins where the first is at its end
        return data[: data.index(b"\xff\xd9") + 2]
    return data[:-4] if name == "tiff of several pages" else data


def test_no_bytes_are_an_empty_file() -> None:
    assert reason(b"") == "empty"


@every_kind
@pytest.mark.parametrize("junk", [b"\0", b"\r\n", bytes(5000), b"junk" * 50, whole("jpeg")], ids=len)
def test_junk_behind_the_end_does_not_matter(name: str, junk: bytes) -> None:
    data = whole(name)

    header = inspect(data + junk)

    assert header == inspect(data)


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "jpeg with restarts", "jpeg with thumbnail"])
def test_a_jpeg_whose_tail_was_reserved_but_not_written_is_incomplete(name: str) -> None:
    data = whole(name)

    reasons = {reason(data[:length].ljust(len(data) + 4096, b"\0")) for length in range(3, len(data) - 1)}

    assert reasons == {"incomplete"}


@pytest.mark.parametrize("name", ["png", "gif", "webp alpha", "tiff lzw", "heic", "jpeg"])
def test_a_file_of_zeros_or_nothing_but_its_first_bytes_is_incomplete(name: str) -> None:
    data = whole(name)

    assert reason(bytes(len(data))) == "incomplete"
    assert reason(data[:12].ljust(len(data), b"\0")) == "incomplete"


def test_the_size_is_the_stored_one_before_any_rotation() -> None:
    turned = pictures.with_orientation("JPEG", 6)

    assert inspect(turned) == Header("jpeg", WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"%PDF-1.7\n",
        b"BMW dealers, a list of all there are",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + bytes(100),
        b"\x76\x2f\x31\x01" + bytes(100),
        b"#?RADIANCE\n" + bytes(100),
        b"P6 1 1 255\n\1\2\3",
        b"\x59\xa6\x6a\x95" + bytes(100),
        b"\xff\xd8 no JPEG",
        b"\0" * 50 + b"\1",
    ],
)
def test_other_content_is_not_a_picture_whatever_its_name(data: bytes) -> None:
    assert reason(data) == "not_a_picture"


def _patched(name: str, at: int, patch: bytes) -> bytes:
    data = whole(name)
    return data[:at] + patch + data[at + len(patch) :]


def _jpeg_frame() -> int:
    return whole("jpeg").index(b"\xff\xc0")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_patched("jpeg", _jpeg_frame() + 5, b"\0\0"), id="jpeg without rows"),
        pytest.param(b"\xff\xd8\xff\xd9", id="jpeg that ends at once"),
        pytest.param(_patched("jpeg", _jpeg_frame() + 2, b"\0\1"), id="jpeg segment shorter than its length"),
        pytest.param(whole("jpeg")[:-2] + whole("jpeg")[_jpeg_frame() :], id="jpeg of two frames"),
        pytest.param(_patched("png", 16, bytes(4)), id="png without columns"),
        pytest.param(whole("png")[:33] + pictures.png_chunk(b"IEND", b""), id="png without pixels"),
        pytest.param(whole("png")[:8] + whole("png")[33:], id="png without header"),
        pytest.param(_patched("png", 33, b"\xff\xff\xff\xff"), id="png chunk longer than allowed"),
        pytest.param(_patched("webp", 16, b"\xff\xff\xff\0"), id="webp chunk larger than the file says"),
        pytest.param(_patched("webp", 12, b"ICCP"), id="webp without size"),
        pytest.param(_patched("bmp", 18, struct.pack("<i", -5)), id="bmp of negative width"),
        pytest.param(_patched("bmp", 22, bytes(4)), id="bmp without rows"),
        pytest.param(_patched("bmp", 10, bytes(4)), id="bmp with pixels inside the header"),
        pytest.param(_patched("gif", 6, bytes(2)), id="gif without columns"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0;", id="gif without picture"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0?;", id="gif of an unknown block"),
        pytest.param(b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0\1\0\0\0" + bytes(4) + b"\1", id="tiff without pixels"),
        pytest.param(whole("heic").replace(b"ispe", b"free"), id="heic without size"),
        pytest.param(_patched("heic", 40, b"\0\1\0\0"), id="heic box larger than what holds it"),
    ],
)
def test_a_structure_that_contradicts_itself_is_damaged(data: bytes) -> None:
    assert reason(data) == "damaged"


def test_tiff_directories_that_lead_in_a_circle_are_followed_once() -> None:
    data = whole("tiff")
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    following = directory + 2 + 12 * entries

    circle = data[:following] + struct.pack("<I", directory) + data[following + 4 :]

    assert inspect(circle) == Header("tiff", WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xd8" + b"\xff\xe0\0\2" * 300_000, id="jpeg"),
        pytest.param(whole("png")[:33] + pictures.png_chunk(b"tEXt", b"") * 300_000, id="png"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0," + bytes(9) + b"\2" + b"\1\1" * 300_000, id="gif"),
        pytest.param(b"\0\0\0\x10ftypheic\0\0\0\0" + b"\0\0\0\x08free" * 300_000, id="heic"),
        pytest.param(b"RIFF\x0c\x9f\x24\0WEBPVP8X\x0a\0\0\0" + bytes(10) + b"EXIF\0\0\0\0" * 300_000, id="webp"),
        pytest.param(b"II*\0\x08\0\0\0\1\0\x11\1\4\0\xe0\x93\4\0" + bytes(1_300_000), id="tiff"),
    ],
)
def test_more_parts_than_any_real_picture_has_are_damaged(data: bytes) -> None:
    with pytest.raises(Unreadable) as finding:
        inspect(data)

    assert finding.value.detail == f"more than {formats.MOST_PARTS} parts"


@every_kind
def test_a_mapped_file_is_read_like_its_bytes_and_can_be_unmapped(name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(whole(name))

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        header = inspect(data)

    assert header == inspect(whole(name)) == inspect(memoryview(whole(name)))


def test_a_mapped_file_that_is_refused_can_be_unmapped(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(whole("jpeg")[:-1])

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        with pytest.raises(Unreadable):
            inspect(data)
        data.close()

    assert data.closed


@st.composite
def twisted(draw: st.DrawFn) -> bytes:
    """Draw a whole file with a few places overwritten, taken out, put in or cut off."""
    data = whole(draw(st.sampled_from(pictures.NAMES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)) | st.integers(0, min(len(data), 120)))
        drop = draw(st.sampled_from([0, 1, 2, 4, 8, 1000]))
        put = draw(
            st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"])
        )
        data = data[:at] + put + data[at + drop :]
    return data


@given(twisted() | st.binary(max_size=300))
def test_any_bytes_lead_to_a_header_or_to_a_reason(data: bytes) -> None:
    found = reason(data)

    assert found in REASONS | {"whole"}
    if found == "whole":
        header = inspect(data)
        assert header.width > 0
        assert header.height > 0


@given(twisted())
def test_what_is_whole_stays_whole_with_junk_behind_it(data: bytes) -> None:
    if reason(data) == "whole":
        assert reason(data + b"\1\2\3\4\5") == "whole"
