"""What seeing costs: how long a decoder process takes to decode a 100x100 picture and to make its features.

One decoder at a time, each picture as the service would have it seen; medians, because other programs only ever
add. On a machine whose cores share their caches, a busy neighbour adds a third.
"""

from statistics import median

from benchmarks import pictures
from returnsd.bundle import EMBEDDED
from returnsd.vision.pool import Job, Pool, Seen

_PICTURES = 1000


def seen(bundle: str) -> list[Seen]:
    """Return what a decoder with that embedded bundle says of the pictures."""
    pool = Pool(EMBEDDED / bundle, 1, decode_s=20.0, pixels_mp=50, attempts=1)
    pool.start()
    try:
        pool.submit([Job(str(number), data) for number, data in enumerate(pictures.some(_PICTURES))])
        found: list[Seen] = []
        while len(found) < _PICTURES:
            found += pool.collect(1.0)
    finally:
        pool.stop()
    return found


def main() -> None:
    """Print the figures."""
    print(f"seeing, one decoder, {pictures.source()}:")
    for bundle in ("retail21", "retail21-fast"):
        found = seen(bundle)
        decode_ms, feature_ms = median(one.decode_ms for one in found), median(one.feature_ms for one in found)
        print(f"  {bundle:<16}decoding {decode_ms:5.2f} ms, features {feature_ms:5.2f} ms a picture")


if __name__ == "__main__":
    main()
