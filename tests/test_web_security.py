"""What strangers try: other hosts, other sites, no token, wrong tokens, bodies too large or too slow."""

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from returnsd.config import Web
from returnsd.errors import ConfigError
from returnsd.web import bodies, serve
from returnsd.web.places import Places
from returnsd.web.problems import TooMany
from returnsd.web.security import local_path
from returnsd.web.token import SESSION_S, Token, is_loopback, read_token
from tests.tiny import tiny_jpeg
from tests.web import TOKEN, House, open_house

JPEG = {"Content-Type": "image/jpeg"}
PREDICT = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: "


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("open"), tiny, threshold=1.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("guarded"), tiny, threshold=1.0, token=TOKEN) as opened:
        yield opened


@pytest.fixture
def stranger(guarded: House) -> Iterator[httpx.Client]:
    """A client that knows no token."""
    with httpx.Client(base_url=guarded.client.base_url) as client:
        yield client


def raw(house: House, request: bytes, wait_s: float = 5.0) -> bytes:
    """Send bytes as they are, and return all that is answered until the connection ends or is silent."""
    url = house.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=wait_s) as line:
        line.sendall(request)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


# --- without a token: only this machine, only our own pages


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5001", "127.0.0.1.evil.example", "", "[::2]:5001"])
def test_a_request_that_names_another_host_is_refused(host: str, house: House) -> None:
    answer = house.client.get("/v1/review", headers={"Host": host})

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:5001", "127.0.0.1:80", "[::1]:5001", "LOCALHOST:1"])
def test_this_machine_under_any_of_its_names_is_answered(host: str, house: House) -> None:
    assert house.client.get("/v1/review", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9"},
    ],
)
def test_a_page_of_another_site_cannot_decide(headers: dict[str, str], house: House) -> None:
    (item_id,) = house.receive("stripes", int(time.time_ns() % 10**6) + 10**6)

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots"}, headers=headers)

    assert answer.status_code == 403
    assert house.client.get(f"/v1/items/{item_id}").json()["state"] == "judged"


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
def test_our_own_page_and_programs_can(headers: dict[str, str], house: House) -> None:
    (item_id,) = house.receive("stripes", int(time.time_ns() % 10**6) + 2 * 10**6)

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots"}, headers=headers)

    assert answer.status_code == 200


def test_an_origin_that_is_the_host_itself_can(house: House) -> None:
    origin = f"http://{house.client.base_url.host}:{house.client.base_url.port}"

    answer = house.client.post("/v1/review/looks", json={"client": "a"}, headers={"Origin": origin})

    assert answer.status_code == 200


def test_a_form_of_another_site_that_pretends_to_be_text_is_refused_before_its_body_is_read(house: House) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}

    answer = house.client.post("/predict", content=b'{"image": ""}', headers=headers)

    assert (answer.status_code, list(answer.json())) == (403, ["error"])


# --- with a token


@pytest.mark.parametrize("path", ["/v1/review", "/v1/model", "/metrics", "/openapi.json", "/nothing"])
def test_without_the_token_nothing_is_told(path: str, stranger: httpx.Client) -> None:
    answer = stranger.get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "sent", [TOKEN[:-1], TOKEN + "x", "x", "ÿ".encode("latin-1").decode("latin-1"), f"{TOKEN} {TOKEN}"]
)
def test_a_wrong_token_is_refused(sent: str, stranger: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {sent}".encode("latin-1")}

    assert stranger.get("/v1/review", headers=headers).status_code == 401


@pytest.mark.parametrize("scheme", ["Basic", "Token", "BearerX"])
def test_the_token_under_another_scheme_is_refused(scheme: str, stranger: httpx.Client) -> None:
    assert stranger.get("/v1/review", headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 401


def test_the_right_token_is_let_in_by_any_host_name(guarded: House) -> None:
    assert guarded.client.get("/v1/review", headers={"Host": "returns.shop.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_the_probes_are_open(path: str, stranger: httpx.Client) -> None:
    assert stranger.get(path).status_code == 200


def test_the_former_api_asks_for_the_token_in_its_own_way(stranger: httpx.Client) -> None:
    answer = stranger.post("/predict", json={"image": ""})

    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]


def test_a_session_lets_a_browser_in_until_it_ends_and_cannot_be_made_up(stranger: httpx.Client) -> None:
    now = int(time.time())
    good, old = Token(TOKEN).session(now), Token(TOKEN).session(now - SESSION_S - 1)
    later = str(now + 10 * SESSION_S) + good[good.index(".") :]
    foreign = Token("another-token-of-some-length").session(now)

    statuses = [
        stranger.get("/v1/review", headers={"Cookie": f"returnsd_session={cookie}"}).status_code
        for cookie in (good, old, later, foreign, "", ".", "x.y", "3.x")
    ]

    assert statuses == [200, 401, 401, 401, 401, 401, 401, 401]


# --- the token's file and the address


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "returns.shop.example"])
def test_an_address_others_can_reach_needs_a_token_file(host: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.token_file"):
        read_token(Web(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_an_address_of_this_machine_needs_none(host: str) -> None:
    assert is_loopback(host)
    assert read_token(Web(host=host)) is None


@pytest.mark.parametrize("content", [b"", b"short", b"with a space in the middle of it", b"\xff" * 40])
def test_a_token_file_without_a_good_token_is_a_fault(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)

    with pytest.raises(ConfigError, match=r"web\.token_file"):
        read_token(Web(host="0.0.0.0", token_file=tmp_path / "token"))


@pytest.mark.parametrize(("mode", "is_refused"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_token_that_everybody_may_read_or_write_is_none(mode: int, is_refused: bool, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)

    if is_refused:
        with pytest.raises(ConfigError, match="everybody on this machine"):
            read_token(Web(token_file=file))
    else:
        assert read_token(Web(token_file=file)) == Token(TOKEN)


def test_a_token_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(Web(token_file=tmp_path / "token"))


# --- paths and headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../config.yaml",
        "/static/..%2f..%2fconfig.yaml",
        "/static/%2e%2e/%2e%2e/token",
        "/static//etc/passwd",
        "/v1/results/..%2F..%2F..%2Fetc%2Fpasswd?format=csv",
        "/v1/items/..%2F..%2Fetc/preview",
        "/v1/items/0000000000000000000000000%00/preview",
    ],
)
def test_a_path_leads_nowhere_else(path: str, house: House) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()

    answer = raw(house, request)

    assert answer.split(b" ", 2)[1] in (b"404", b"422")
    assert b"root:" not in answer


def test_every_answer_tells_browsers_to_be_strict(house: House) -> None:
    for path in ("/livez", "/v1/review", "/nothing", "/v1/items/x"):
        headers = house.client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"]


@pytest.mark.parametrize(
    ("sent", "went"),
    [
        ("/history?text=a", "/history?text=a"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
        ("/ü", "/"),
    ],
)
def test_signing_in_leads_to_this_site_only(sent: str, went: str) -> None:
    assert local_path(sent) == went


def test_a_name_with_line_breaks_makes_no_header(house: House) -> None:
    answer = house.client.post(
        "/v1/items", params={"name": "a\r\nX-Evil: 1\r\n.jpg"}, content=tiny_jpeg("dots", 1), headers=JPEG
    )

    assert "x-evil" not in answer.headers
    assert "\n" not in answer.json()["items"][0]["file_name"]


# --- bodies


def test_an_announced_body_that_is_too_large_is_refused_unread(house: House) -> None:
    request = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 99999999999"
    )

    answer = raw(house, request + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


def test_a_body_that_grows_too_large_is_refused_on_the_way(house: House) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * (1 << 20)

    answer = house.client.post("/v1/decisions", content=parts(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413


def test_a_large_body_is_taken_where_pictures_are_sent(house: House) -> None:
    answer = house.client.post("/v1/predict", content=b"x" * (8 << 20), headers=JPEG)

    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["shelf"] == "rejected"


def test_a_body_that_does_not_come_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PAUSE_S", 0.2)

    answer = raw(house, PREDICT + b"100\r\n\r\nabc")

    assert answer.startswith(b"HTTP/1.1 408")


def test_slow_clients_hold_up_nobody(house: House) -> None:
    url = house.client.base_url
    slow = [socket.create_connection((url.host, url.port or 80)) for _ in range(60)]
    for line in slow:
        line.sendall(PREDICT + b"9000\r\n\r\n")

    began = time.monotonic()
    answer = house.client.post("/v1/predict", content=tiny_jpeg("stripes", 1), headers=JPEG)

    assert answer.status_code == 200
    assert time.monotonic() - began < 5
    for line in slow:
        line.close()


def test_a_head_that_does_not_come_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEAD_S", 0.2)

    began = time.monotonic()
    answer = raw(house, b"GET /livez HTTP/1.1\r\nHost: loc", wait_s=10)

    assert answer == b""
    assert time.monotonic() - began < 5


def test_a_head_without_end_is_refused(house: House) -> None:
    answer = raw(house, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000, wait_s=2)

    assert b"200" not in answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_all_bodies_together_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_HELD_BYTES", 1000)

    answer = house.client.post("/v1/predict", content=b"x" * 2000, headers=JPEG)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_one_client_cannot_take_all_places() -> None:
    places = Places(most=2)

    with places.taken("a", 2):
        with pytest.raises(TooMany) as refused, places.taken("a"):
            pass
        with places.taken("b"):
            pass
    with places.taken("a", 2):
        pass

    assert refused.value.response().headers["retry-after"] == "1"


def test_a_request_with_more_pictures_than_the_share_takes_all_of_it() -> None:
    places = Places(most=2)

    with places.taken("a", 5):
        with pytest.raises(TooMany), places.taken("a"):
            pass
        with places.taken("b", 2):
            pass
    with pytest.raises(TooMany), places.taken("a"), places.taken("a", 5):
        pass


def test_a_batch_holds_its_places_until_all_of_it_is_answered(house: House) -> None:
    image = base64.b64encode(tiny_jpeg("dots", 1)).decode()
    with house.desk.places.taken("127.0.0.1", 60):
        refused = house.client.post("/predict/batch", json={"images": [image] * 40})
        answered = house.client.post("/predict/batch", json={"images": [image] * 36})

    assert (refused.status_code, answered.status_code) == (429, 200)
    assert int(refused.headers["retry-after"]) > 0


def test_too_many_connections_are_told_when_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 0)

    with httpx.Client(base_url=house.client.base_url) as crowded:
        answer = crowded.get("/v1/model")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_client_that_asks_for_too_many_pictures_at_once_is_told_to_wait(house: House) -> None:
    with house.desk.places.taken("127.0.0.1", 96):
        answer = house.client.post("/v1/predict", content=tiny_jpeg("dots", 1), headers=JPEG)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


def test_a_bomb_harms_no_one_else(house: House) -> None:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    told = house.client.post("/v1/predict", content=bomb, headers={"Content-Type": "image/png"}).json()
    after = house.client.post("/v1/predict", content=tiny_jpeg("stripes", 1), headers=JPEG).json()

    assert told["predictions"][0]["reason"] == "too_many_pixels"
    assert after["predictions"][0]["category"] == "stripes"
