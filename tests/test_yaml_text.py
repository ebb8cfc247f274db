"""YAML as text: what was written where, and one value changed with every other byte kept."""

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from returnsd import yaml_text
from returnsd.errors import ConfigError

LINES = st.text(max_size=30).filter(str.isprintable)
VALUES = (
    LINES | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(LINES, max_size=4)
)
KEYS = st.sampled_from(["model", "bundle", "watch", "x", "two words", "Schlüssel"])
SECTIONS = st.dictionaries(KEYS, VALUES, max_size=3)
DOCUMENTS = st.dictionaries(KEYS, SECTIONS | VALUES, max_size=4)


def value_of(text: str) -> object:
    node = yaml_text.compose(text)
    assert node is not None
    return yaml_text.value_of(node)


# --- reading


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_of_an_empty_document_there_is_no_node(text: str) -> None:
    assert yaml_text.compose(text) is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3\n", "line 2, column 2"),
        ("a: 1\n\tb: 2\n", "line 2, column 1"),
        ("a: 1\nb: \x07\n", "line 2, column 4"),
        ("a: *nowhere\n", "line 1, column 4"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1"),
    ],
)
def test_broken_yaml_is_told_by_line_and_column(text: str, place: str) -> None:
    with pytest.raises(ConfigError) as refused:
        yaml_text.compose(text)

    (fault,) = refused.value.faults
    assert fault.startswith("not YAML: ")
    assert fault.endswith(place)


def test_yaml_that_is_nested_without_end_is_told_too() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        yaml_text.compose("[" * 100_000)


@given(st.text() | st.lists(st.sampled_from([*"[]{}:,-?&*!|>'\"%@#~\n ", "a", "!!x "]), max_size=20).map("".join))
def test_any_text_leads_to_nodes_or_to_a_config_error(text: str) -> None:
    try:
        node = yaml_text.compose(text)
    except ConfigError as error:
        assert len(error.faults) == 1
    else:
        assert node is None or isinstance(node, yaml.Node)


@given(VALUES)
def test_a_value_is_read_as_yaml_reads_it(value: object) -> None:
    assert value_of(yaml.safe_dump(value)) == value


@pytest.mark.parametrize("text", ["{a: 1}", "[[1]]", "[{}]", "!!python/name:os.system ''", "!mine 3", "!!int x"])
def test_what_is_no_plain_value_or_list_of_them_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        value_of(text)


@pytest.mark.parametrize("text", ["2026-99-99", "!!timestamp x", "!!float a", "!!binary é", "!!bool maybe"])
def test_a_value_that_contradicts_its_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        value_of(text)


def test_null_is_null_however_it_is_written() -> None:
    root = yaml_text.compose("[null, ~, , 0, '', 'null']".replace(", ,", ", !!null '',"))
    assert isinstance(root, yaml.SequenceNode)

    assert [yaml_text.is_null(node) for node in root.value] == [True, True, True, False, False, False]


# --- telling what was found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: {b: 1}", "a mapping"),
        ("a: [1, x, 'y']", "[1, 'x', 'y']"),
        ("a: [[1], 2]", "a list"),
        ("a: " + str(list(range(15))), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...]"),
        ("a:", "nothing"),
        ("a: ~", "~"),
        ("a: 0x1F", "0x1F"),
        ("a: '3'", "'3'"),
        ("a: yes", "yes"),
        ("a: " + "x" * 100, repr("x" * 57 + "...")),
        ('a: "\\e[2J"', r"'\x1b[2J'"),
    ],
)
def test_what_was_found_is_told_shortly_and_safely(text: str, found: str) -> None:
    root = yaml_text.compose(text)
    assert isinstance(root, yaml.MappingNode)

    assert yaml_text.found(root.value[0][1]) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [("abc: 1", "abc"), ("3: 1", "3"), ('"\\e": 1', r"'\x1b'"), ("[1]: 1", "[1]"), ("? {a: 1}\n: 1", "a mapping")],
)
def test_a_key_is_named_safely(text: str, name: str) -> None:
    root = yaml_text.compose(text)
    assert isinstance(root, yaml.MappingNode)

    assert yaml_text.name_of(root.value[0][0]) == name


# --- writing


@given(VALUES)
def test_a_value_fits_on_one_line_and_into_braces_and_reads_back(value: object) -> None:
    word = yaml_text.inline(value)

    assert len(word.splitlines()) <= 1
    assert yaml.safe_load(f"{{a: {word}, b: 1}}") == {"a": value, "b": 1}
    assert yaml.safe_load(f"a:\n  b: {word}\n") == {"a": {"b": value}}


@given(DOCUMENTS, VALUES, st.booleans() | st.none(), st.sampled_from(["\n", "\r\n"]))
def test_an_edit_changes_that_value_and_nothing_else(
    document: dict[str, Any], value: object, flow: bool | None, newline: str
) -> None:
    dumped = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True, width=float("inf"))
    text = "# ours\n".replace("\n", newline) + dumped.replace("\n", newline)
    section = document.get("model")
    assume(section is None or isinstance(section, dict))  # else nothing can be set in there

    edited = yaml_text.edit(text, "model", "bundle", value)

    expected = {**document, "model": {**(section or {}), "bundle": value}}
    changed = [line for line in difflib.ndiff(text.splitlines(), edited.splitlines()) if line.startswith("- ")]
    assert yaml.safe_load(edited) == expected
    assert len(changed) <= 1
    assert edited.startswith("# ours")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "model:\n  bundle: mine\n"),
        ("# nothing yet", "# nothing yet\nmodel:\n  bundle: mine\n"),
        ("---\nworkers: 3\n", "---\nworkers: 3\nmodel:\n  bundle: mine\n"),
        ("model:\n", "model: {bundle: mine}\n"),
        ("model: ~  # none\n", "model: {bundle: mine}  # none\n"),
        ("model:\n    bundle: >\n        old\n        one\nworkers: 3\n", "model:\n    bundle: mine\nworkers: 3\n"),
        ("model:\n  bundle:  # which\n  x: 1\n", "model:\n  bundle: mine  # which\n  x: 1\n"),
        ('\'model\':\n  "bundle" : "old"\n', "'model':\n  \"bundle\" : mine\n"),
        ("model:\n\n  # why\n  x: 1\n", "model:\n  bundle: mine\n\n  # why\n  x: 1\n"),
        ("{}", "{model: {bundle: mine}}"),
        ("{model: {}, x: 1}", "{model: {bundle: mine}, x: 1}"),
        (
            "bundle: 1\nother: {bundle: 2}\nmodel: {bundle: 3}\n",
            "bundle: 1\nother: {bundle: 2}\nmodel: {bundle: mine}\n",
        ),
    ],
)
def test_an_edit_keeps_comments_quotes_and_layout(before: str, after: str) -> None:
    assert yaml_text.edit(before, "model", "bundle", "mine") == after


def test_an_edit_of_broken_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        yaml_text.edit("model: {", "model", "bundle", "mine")
