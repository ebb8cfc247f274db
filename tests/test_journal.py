"""The native protocol, read back as journald does."""

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnsd.journal import Journal, packed


def unpacked(data: bytes) -> dict[str, str]:
    """Read a datagram by the protocol's description."""
    fields: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), st.text(), max_size=5))
def test_any_text_comes_back_as_it_was(fields: dict[str, str]) -> None:
    assert unpacked(packed(fields)) == fields


@pytest.mark.parametrize("name", ["item", "_PID", "0DAY", "A-B", "", "A=B\nMESSAGE", "X" * 65])
def test_a_name_that_journald_would_refuse_or_trust_is_left_out(name: str) -> None:
    assert unpacked(packed({name: "forged", "ITEM_ID": "1"})) == {"ITEM_ID": "1"}


def test_a_value_with_a_line_break_forges_no_field() -> None:
    assert unpacked(packed({"FILE": "a\n_UID=0\nMESSAGE=b"})) == {"FILE": "a\n_UID=0\nMESSAGE=b"}


def test_an_event_arrives_whole(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))

        sent = Journal(str(tmp_path / "socket")).send({"MESSAGE": "item_shelved", "ITEM_ID": "01ARZ"})

        assert sent
        assert unpacked(listener.recv(4096)) == {"MESSAGE": "item_shelved", "ITEM_ID": "01ARZ"}


def test_no_journal_and_an_entry_too_large_for_it_are_said_not_raised(tmp_path: Path) -> None:
    nowhere = Journal(str(tmp_path / "nowhere"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        here = Journal(str(tmp_path / "socket"))

        assert not nowhere.send({"MESSAGE": "unheard"})
        assert not here.send({"MESSAGE": "x" * (32 << 20)})
        assert here.send({"MESSAGE": "heard"})
