"""Pixels: what every kind of file looks like, which way up, and what each kind of damage is called."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pictures
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from pictures import HEIGHT, WIDTH, Pixels, whole
from PIL import Image
from test_formats import twisted

from returnsd.errors import Unreadable
from returnsd.vision.decode import DecodeLimits, decode

ROOT = Path(__file__).parent.parent
LIMITS = DecodeLimits()
LOSSY = {"jpeg", "webp", "heic", "avif"}


def reason(data: bytes, limits: DecodeLimits = LIMITS) -> str:
    """Return why there are no pixels, or `seen`."""
    try:
        decode(data, limits)
    except Unreadable as finding:
        return finding.reason
    return "seen"


def shown(data: bytes) -> Pixels:
    """Return the RGB pixels."""
    return decode(data, LIMITS)[:, :, ::-1]


def expected(name: str) -> NDArray[np.int64]:
    """Return the RGB pixels that a kind of file should show."""
    mode = "1" if "one bit" in name else "L" if "grey" in name else "RGB"
    pixels = np.asarray(pictures.picture(mode).convert("RGB")).astype(np.int64)
    if name == "gif transparent":
        pixels[: HEIGHT // 2, : WIDTH // 2] = 255
    elif "alpha" in name or "transparent" in name:
        pixels = np.rint(255 - (255 - pixels) * 128 / 255).astype(np.int64)
    return pixels


def largest_difference(one: NDArray[Any], other: NDArray[Any], margin: int = 0) -> int:
    """Return by how much two pictures differ at most, leaving out so many pixels around edges between colours."""
    assert one.shape == other.shape
    difference = np.abs(one.astype(np.int64) - other.astype(np.int64)).max(axis=2)
    height, width = difference.shape
    difference[height // 2 - margin : height // 2 + margin] = 0
    difference[:, width // 2 - margin : width // 2 + margin] = 0
    return int(difference.max())


@pytest.mark.parametrize("name", pictures.NAMES)
def test_every_kind_of_file_shows_its_colours(name: str) -> None:
    lossy = name.split()[0] in LOSSY and "lossless" not in name

    seen = shown(whole(name))

    assert largest_difference(seen, expected(name), margin=8 if lossy else 0) <= (8 if lossy else 1)


@pytest.mark.parametrize("name", pictures.NAMES)
def test_pixels_are_contiguous_bytes_in_three_colours(name: str) -> None:
    pixels = decode(whole(name), LIMITS)

    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "stored",
    [
        "JPEG RGB",
        "JPEG L",
        "PNG RGB",
        "PNG RGBA",
        "WEBP RGB",
        "WEBP RGBA",
        "TIFF RGB",
        "TIFF L",
        "TIFF RGBA",
        "TIFF I;16",
        "HEIF RGB",
        "AVIF RGB",
    ],
)
def test_a_picture_is_turned_upright_once(stored: str, orientation: int) -> None:
    kind, mode = stored.split()
    pixels = expected({"L": "grey", "I;16": "grey", "RGBA": "alpha"}.get(mode, ""))
    wanted = pictures.upright(pixels.astype(np.uint8), orientation)

    seen = shown(pictures.with_orientation(kind, orientation, mode))

    assert largest_difference(seen, wanted, margin=8) <= 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    seen = shown(pictures.with_orientation("JPEG", orientation))

    assert largest_difference(seen, pictures.scene(), margin=8) <= 6


@pytest.mark.parametrize(
    ("width", "height", "seen"),
    [
        (1599, 30, (30, 1599)),
        (1600, 40, (20, 800)),
        (40, 3200, (800, 10)),
        (6400, 48, (6, 800)),
        (9999, 9, (2, 1250)),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_large_picture_is_reduced_to_no_less_than_800(
    suffix: str, width: int, height: int, seen: tuple[int, int]
) -> None:
    data = pictures.by_opencv(suffix, pictures.scene(width, height))

    pixels = decode(data, LIMITS)

    assert pixels.shape == (*seen, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_picture_is_turned_upright_once(orientation: int) -> None:
    large = Image.fromarray(pictures.scene(3200, 2400))
    wanted = pictures.upright(pictures.scene(800, 600), orientation)

    seen = shown(pictures.encode(large, "JPEG", exif=pictures.exif(orientation), quality=95))

    assert largest_difference(seen, wanted, margin=8) <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_one_pixel_is_a_picture(kind: str) -> None:
    pixels = decode(pictures.encode(Image.new("RGB", (1, 1), "white"), kind), LIMITS)

    assert pixels.tolist() == [[[255, 255, 255]]]


# --- what is refused


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (whole("jpeg")[:-1], "incomplete"),
        (b"hello", "not_a_picture"),
        (b"\xff\xd8\xff\xd9", "damaged"),
    ],
)
def test_what_is_not_whole_is_not_decoded(data: bytes, why: str) -> None:
    assert reason(data) == why


def _holed(name: str, share: float, hole: bytes = bytes(40)) -> bytes:
    """Return a file with some bytes overwritten at some share of its length."""
    data = whole(name)
    at = int(len(data) * share)
    return data[:at] + hole + data[at + len(hole) :]


def _progressive() -> bytes:
    pixels = decode(pictures.noise_jpeg(90, 90), LIMITS)
    return pictures.by_opencv(".jpg", pixels, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(whole("jpeg")[:-60] + b"\xff\xd9", id="jpeg that ends too soon"),
        pytest.param(pictures.noise_jpeg(90, 90)[:-900] + b"\xff\xd9", id="jpeg half of which is missing"),
        pytest.param(_progressive()[:-300] + b"\xff\xd9", id="progressive jpeg that ends too soon"),
        pytest.param(
            whole("jpeg with restarts").replace(b"\xff\xd1", b"\xff\xd6"), id="jpeg with the wrong restart"
        ),
        pytest.param(_holed("png", 0.5), id="png with a hole"),
        pytest.param(_holed("webp lossless", 0.5), id="webp with a hole"),
        pytest.param(_holed("tiff lzw", 0.1), id="tiff with a hole (lzw)"),
        pytest.param(_holed("tiff deflate", 0.1), id="tiff with a hole (deflate)"),
        pytest.param(_holed("gif", 0.9, b"\xff" * 8), id="gif with a hole"),
        pytest.param(_holed("avif", 0.9), id="avif with a hole"),
    ],
)
def test_a_picture_with_a_part_made_up_by_its_decoder_is_damaged(data: bytes) -> None:
    assert reason(data) == "damaged"


def _png_with(chunk: bytes) -> bytes:
    data = whole("png")
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(whole("jpeg")[:-2] + b"\0" * 20 + b"\xff\xd9", id="jpeg with stray bytes before its end"),
        pytest.param(whole("jpeg")[:20] + bytes(4) + whole("jpeg")[20:], id="jpeg with stray bytes in its header"),
        pytest.param(whole("jpeg") + whole("jpeg")[:300], id="jpeg with another one behind it"),
        pytest.param(
            _png_with(pictures.png_chunk(b"tEXt", b"a\0b")[:-1] + b"?"), id="png with a wrong text checksum"
        ),
        pytest.param(_png_with(pictures.png_chunk(b"iCCP", b"odd\0\0junk")), id="png with an odd colour profile"),
        pytest.param(whole("tiff").replace(b"\x1c\1\3\0", b"\xfe\xfe\3\0"), id="tiff with an unknown tag"),
        pytest.param(pictures.with_orientation("TIFF", 9), id="tiff with an impossible orientation"),
    ],
)
def test_complaints_about_what_does_not_show_are_ignored(data: bytes) -> None:
    seen = shown(data)

    assert largest_difference(seen, pictures.scene(), margin=8) <= 6


def _claiming(name: str, at: int, size: bytes) -> bytes:
    return whole(name)[:at] + size + whole(name)[at + len(size) :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_claiming("jpeg", whole("jpeg").index(b"\xff\xc0") + 5, b"\xff\xdc" * 2), id="jpeg"),
        pytest.param(_claiming("png", 16, b"\0\1\0\0" * 2), id="png"),
        pytest.param(_claiming("gif", 6, b"\xff\xff" * 2), id="gif"),
        pytest.param(_claiming("webp alpha", 24, b"\xff\x3f\0" * 2), id="webp"),
        pytest.param(_claiming("heic", whole("heic").index(b"ispe") + 8, b"\0\0\xff\xff" * 2), id="heic"),
    ],
)
def test_a_picture_that_claims_to_be_huge_is_not_decoded(data: bytes) -> None:
    assert reason(data) == "too_many_pixels"


def test_the_limit_itself_is_allowed() -> None:
    fits = pictures.by_opencv(".png", np.zeros((1000, 1000, 3), np.uint8))
    exceeds = pictures.by_opencv(".png", np.zeros((1000, 1001, 3), np.uint8))

    assert reason(fits, DecodeLimits(pixels_mp=1)) == "seen"
    assert reason(exceeds, DecodeLimits(pixels_mp=1)) == "too_many_pixels"


@given(twisted())
@settings(max_examples=300, derandomize=True)
def test_whatever_is_in_a_file_no_other_error_comes_out(data: bytes) -> None:
    found = reason(data)

    assert found in {"seen", "empty", "incomplete", "not_a_picture", "damaged", "too_many_pixels", "out_of_memory"}


# --- descriptor 2, and the process around


@pytest.mark.parametrize("data", [whole("jpeg"), _holed("png", 0.5), _holed("tiff lzw", 0.1)])
def test_decoding_prints_nothing_and_leaves_standard_error_as_it_was(data: bytes, capfd: Any) -> None:
    before = os.fstat(2)

    reason(data)

    os.write(2, b"still ours")
    assert os.path.samestat(os.fstat(2), before)
    assert capfd.readouterr().err == "still ours"


def run(code: str, *arguments: str, **environment: str) -> list[str]:
    """Run code in a process of its own, with decode at hand, and return the words it printed."""
    opening = "import sys; from returnsd.errors import Unreadable; sys.path.append('tests')\n"
    command = [sys.executable, "-c", opening + textwrap.dedent(code), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def _file(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "picture"
    path.write_bytes(data)
    return str(path)


REASON = """
    {first}
    from returnsd.vision.decode import DecodeLimits, decode
    data = open(sys.argv[1], "rb").read()
    {then}
    try:
        print("seen", decode(data, DecodeLimits()).shape)
    except Unreadable as finding:
        print(finding.reason, finding.detail)
"""
WITHOUT_EXTRA = "sys.modules['pillow_heif'] = None"


@pytest.mark.parametrize("name", ["heic", "avif"])
def test_without_the_extra_heic_and_avif_name_what_to_install(name: str, tmp_path: Path) -> None:
    words = run(REASON.format(first=WITHOUT_EXTRA, then=""), _file(tmp_path, whole(name)))

    assert " ".join(words) == "heic_needs_extra pip install 'returnsd[heic]'"


def test_without_the_extra_all_other_formats_are_decoded(tmp_path: Path) -> None:
    words = run(REASON.format(first=WITHOUT_EXTRA, then=""), _file(tmp_path, whole("webp")))

    assert words[0] == "seen"


def test_a_picture_that_memory_does_not_suffice_for_is_out_of_memory(tmp_path: Path) -> None:
    data = pictures.by_opencv(".png", np.zeros((7000, 7000), np.uint8))
    limit = "import resource; used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
    limit += "resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000,) * 2)"

    words = run(REASON.format(first="", then=limit), _file(tmp_path, data))

    assert words[0] == "out_of_memory"


def test_opencv_itself_refuses_more_pixels_than_its_environment_allows(tmp_path: Path) -> None:
    words = run(REASON.format(first="", then=""), _file(tmp_path, whole("png")), OPENCV_IO_MAX_IMAGE_PIXELS="1000")

    assert words[0] == "too_many_pixels"


def test_after_the_first_picture_no_file_is_opened() -> None:
    code = """
        import os, resource, pictures
        from returnsd.vision.decode import DecodeLimits, decode
        files = [(name, pictures.whole(name)) for name in pictures.NAMES]
        decode(files[0][1], DecodeLimits())
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
        for name, data in files:
            decode(data, DecodeLimits())
        print(len(files))
    """

    words = run(code)

    assert words == [str(len(pictures.NAMES))]


def test_a_photo_of_fifty_million_pixels_takes_little_memory(tmp_path: Path) -> None:
    small = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = _file(tmp_path, pictures.by_opencv(".jpg", cv2.resize(small, (8160, 6120))))
    code = """
        import resource
        from returnsd.vision.decode import DecodeLimits, decode
        data = open(sys.argv[1], "rb").read()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        height, width, _ = decode(data, DecodeLimits()).shape
        print(height, width, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """

    height, width, more_kb = map(int, run(code, photo))

    assert (height, width) == (765, 1020)
    assert more_kb < 20_000
