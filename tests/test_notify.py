"""Telling how a nightly run ended: to a real HTTP server and a real SMTP server on this machine."""

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from returnsd.cli import main
from returnsd.config import Notify
from returnsd.notify import tell
from returnsd.report import Report
from tests.tiny import tiny_jpeg

GOOD = Report("2026-11-24T02:00:00+00:00", judged=3, shelves={"archive": 3}, categories={"Footwear": 3})
BAD = Report("2026-11-24T02:00:00+00:00", problem="disk_full")


@dataclass
class Hook:
    """A web server that notes what is posted to it."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    posts: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    noted = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            noted.posts.append((dict(self.headers), json.loads(body)))
            self.send_response(noted.statuses.pop(0) if noted.statuses else 204)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        noted.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield noted
        server.shutdown()


@dataclass
class Post:
    """A mail server that notes what is sent to it; for a while it may refuse."""

    port: int = 0
    refusals: int = 0
    logins: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)


@pytest.fixture
def post() -> Iterator[Post]:
    noted = Post()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if noted.refusals:
                noted.refusals -= 1
                self.wfile.write(b"421 come again\r\n")
                return
            self.wfile.write(b"220 here\r\n")
            for line in iter(self.rfile.readline, b""):
                word = line.split()[0].upper() if line.split() else b""
                if word == b"EHLO":
                    self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
                elif word == b"AUTH":
                    noted.logins.append(line.decode().strip())
                    self.wfile.write(b"235 good\r\n")
                elif word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    data = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mail = email.message_from_bytes(data, policy=email.policy.default)
                    assert isinstance(mail, EmailMessage)
                    noted.mails.append(mail)
                    self.wfile.write(b"250 taken\r\n")
                elif word == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 good\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        noted.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield noted
        server.shutdown()


def by_mail(post: Post, **more: Any) -> Notify:
    return Notify(email_to=("desk@shop.example",), smtp_host="127.0.0.1", smtp_port=post.port, **more)


def no_pause(_: float) -> None:
    pass


def test_nobody_is_told_unless_someone_is_named() -> None:
    assert tell(Notify(), GOOD) == []


def test_the_webhook_gets_the_report_and_what_happened(hook: Hook) -> None:
    failures = tell(Notify(webhook=hook.address), GOOD)

    ((headers, document),) = hook.posts
    assert failures == []
    assert headers["Content-Type"] == "application/json"
    assert (document["event"], document["judged"]) == ("batch_finished", 3)
    assert document["headline"] == "returnsd: 3 judged, 0 wait for a person"


def test_the_webhook_is_told_of_a_failure_with_the_token_of_the_file(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")

    tell(Notify(webhook=hook.address, webhook_token_file=tmp_path / "token"), BAD)

    ((headers, document),) = hook.posts
    assert headers["Authorization"] == "Bearer secret"
    assert (document["event"], document["problem"]) == ("batch_failed", "disk_full")


def test_a_good_end_is_not_told_when_only_failures_are_wanted(hook: Hook) -> None:
    notify = Notify(when="failure", webhook=hook.address)

    tell(notify, GOOD)
    tell(notify, BAD)

    assert [document["event"] for _, document in hook.posts] == ["batch_failed"]


def test_a_webhook_that_fails_is_tried_again(hook: Hook) -> None:
    hook.statuses = [500, 503, 204]

    failures = tell(Notify(webhook=hook.address), GOOD, no_pause)

    assert failures == []
    assert len(hook.posts) == 3


@pytest.mark.parametrize("status", [404, 302])
def test_a_webhook_that_keeps_failing_or_moved_is_given_up_and_told(status: int, hook: Hook) -> None:
    hook.statuses = [status] * 3

    (failure,) = tell(Notify(webhook=hook.address), GOOD, no_pause)

    assert failure.startswith("the webhook was not delivered")
    assert len(hook.posts) == 3


def test_the_mail_holds_the_words_and_the_page(post: Post) -> None:
    failures = tell(by_mail(post, email_from="returnsd@shop.example"), GOOD)

    (mail,) = post.mails
    body, page = mail.get_body(("plain",)), next(mail.iter_attachments())
    assert failures == []
    assert (mail["Subject"], mail["To"]) == ("returnsd: 3 judged, 0 wait for a person", "desk@shop.example")
    assert mail["From"] == "returnsd@shop.example"
    assert body is not None
    assert "3 pictures judged" in body.get_content()
    assert page.get_filename() == "returnsd-2026-11-24.html"
    assert "Footwear" in page.get_content()


def test_line_breaks_in_a_problem_make_no_header(post: Post) -> None:
    tell(by_mail(post), Report("2026-11-24", problem="disk\r\nBcc: evil@example.org\r\n\r\nfull"))

    (mail,) = post.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == "returnsd: not finished: disk Bcc: evil@example.org full"


def test_a_mail_server_that_asks_for_it_gets_name_and_password(post: Post, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")

    tell(by_mail(post, smtp_user="returnsd", smtp_password_file=tmp_path / "password"), GOOD)

    assert len(post.logins) == len(post.mails) == 1


def test_a_mail_server_that_is_busy_is_tried_again(post: Post) -> None:
    post.refusals = 2

    assert tell(by_mail(post), GOOD, no_pause) == []
    assert len(post.mails) == 1


def test_one_that_cannot_be_told_does_not_keep_the_other_from_it(hook: Hook) -> None:
    notify = Notify(webhook=hook.address, email_to=("a@b.example",), smtp_host="127.0.0.1", smtp_port=hook.port)
    unreachable = Notify(webhook="http://127.0.0.1:9/", email_to=())

    assert tell(unreachable, GOOD, no_pause)[0].startswith("the webhook was not delivered")
    assert [failure[:10] for failure in tell(notify, GOOD, no_pause)] == ["the e-mail"]
    assert len(hook.posts) == 1


# --- the command


@pytest.fixture
def here(tmp_path: Path, tiny: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(
        f"model: {{bundle: {tiny}, target_accuracy: 0.8}}\nwatch: {{settle_s: 0.01, patience_s: 0.05}}\n"
        f"log: {{level: error}}\nnotify: {{webhook: '{hook.address}'}}\n"
    )
    (tmp_path / "var/inbox").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_nightly_run_leaves_a_page_and_a_json_and_tells_of_it(here: Path, hook: Hook) -> None:
    (here / "var/inbox/a.jpg").write_bytes(tiny_jpeg("stripes", 1))
    (here / "var/inbox/b.jpg").write_bytes(b"no picture")

    status = main(["batch"])

    (written,) = (here / "var/state/reports").glob("*.json")
    report = json.loads(written.read_text())
    ((_, told),) = hook.posts
    assert status == 0
    assert (told["event"], told["judged"]) == ("batch_finished", 2)
    assert [one["file_name"] for one in report["rejected_files"]] == ["b.jpg"]
    assert "b.jpg" in written.with_suffix(".html").read_text()


def test_a_run_that_cannot_begin_is_told_as_a_failure(here: Path, hook: Hook) -> None:
    (here / "var/archive").write_text("a file where a folder belongs")

    status = main(["batch"])

    ((_, told),) = hook.posts
    assert status == 1
    assert told["event"] == "batch_failed"
    assert told["problem"]


def test_who_could_not_be_told_is_said_and_the_exit_code_tells(
    here: Path, hook: Hook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("returnsd.notify._PAUSES_S", (0.0, 0.0))
    hook.statuses = [500] * 3

    status = main(["batch"])

    assert status == 1
    assert "the webhook was not delivered" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["webhook: ftp://a.example/", "webhook: 'no address'", "email_to: [nobody]", "email_to: 'a@b.example'",
     "smtp_user: anna", "smtp_security: some", "when: sometimes"],
)  # fmt: skip
def test_what_cannot_be_told_is_a_fault_of_the_configuration(text: str, here: Path) -> None:
    (here / "config.yaml").write_text(f"notify: {{{text}}}\n")

    assert main(["config", "show"]) == 78
