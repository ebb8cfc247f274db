"""Tells others how a nightly run ended: a webhook, an e-mail, both or none, as the notify section says.

Each is tried a few times. What could not be told is returned, and stops nothing: the report itself is on the disk.
"""

import json
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

from returnsd import report as reports
from returnsd.config import Notify
from returnsd.report import Report

_TIMEOUT_S = 15.0
_PAUSES_S = (1.0, 4.0)


def tell(notify: Notify, report: Report, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Tell of a report as far as is wanted; return what could not be told, one sentence each."""
    if notify.when == "failure" and report.problem is None:
        return []
    failures = []
    if notify.webhook is not None:
        webhook = notify.webhook
        failures += _tried("the webhook", lambda: _post(webhook, notify.webhook_token_file, report), sleep)
    if notify.email_to:
        failures += _tried("the e-mail", lambda: _mail(notify, report), sleep)
    return failures


def _tried(what: str, deliver: Callable[[], None], sleep: Callable[[float], None]) -> list[str]:
    for pause_s in (*_PAUSES_S, None):
        try:
            deliver()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            if pause_s is None:
                return [f"{what} was not delivered: {error}"]
            sleep(pause_s)
        else:
            return []
    raise AssertionError("unreachable")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that moved is to be told, not followed: the report would go where no one meant it to."""

    def redirect_request(self, *_: object) -> None:
        return None


def _post(address: str, token_file: Path | None, report: Report) -> None:
    event = "batch_failed" if report.problem is not None else "batch_finished"
    body = json.dumps({"event": event, "headline": reports.headline(report), **report.as_json()}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "returnsd"}
    if token_file is not None:
        headers["Authorization"] = f"Bearer {token_file.read_text(encoding='utf-8').strip()}"
    request = urllib.request.Request(address, body, headers, method="POST")
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1 << 16)


def _mail(notify: Notify, report: Report) -> None:
    message = EmailMessage()
    message["Subject"] = reports.headline(report)[:200]
    message["From"] = notify.email_from or f"returnsd@{socket.getfqdn()}"
    message["To"] = ", ".join(notify.email_to)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(reports.sentences(report)) + "\n")
    name = f"returnsd-{report.started_at[:10]}.html"
    message.add_attachment(reports.page(report).encode(), maintype="text", subtype="html", filename=name)
    with _connection(notify) as server:
        if notify.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if notify.smtp_user is not None and notify.smtp_password_file is not None:
            server.login(notify.smtp_user, notify.smtp_password_file.read_text(encoding="utf-8").strip())
        server.send_message(message)


def _connection(notify: Notify) -> smtplib.SMTP:
    if notify.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(notify.smtp_host, notify.smtp_port, timeout=_TIMEOUT_S, context=context)
    return smtplib.SMTP(notify.smtp_host, notify.smtp_port, timeout=_TIMEOUT_S)
