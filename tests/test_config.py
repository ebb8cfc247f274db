"""The configuration: defaults, faults, and the round trips between text and records."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from returnsd.config import Config, default, differences, parse, reference, show, with_bundle
from returnsd.errors import ConfigError

BESIDE = Path("/srv/shop")
ROOT = Path(__file__).parent.parent


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, BESIDE)
    return caught.value.faults


def only_fault(text: str) -> str:
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def dotted_keys(record: Any, prefix: str = "") -> Iterator[str]:
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            yield from dotted_keys(value, f"{prefix}{field.name}.")
        elif field.init:
            yield prefix + field.name


def test_an_empty_file_gives_the_defaults_of_the_design() -> None:
    config = parse("", BESIDE)

    assert config.paths.inbox == BESIDE / "var/inbox"
    assert config.watch.settle_s == 1.0
    assert config.batch.max_items == 64
    assert config.model.bundle == "retail21"
    assert config.model.threshold is None
    assert config.limits.file_mib == 64
    assert config.keep.rejected_days == 30
    assert config.workers == 2


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}", "null", "watch:\nlog:\n"])
def test_a_file_or_a_section_with_nothing_in_it_is_all_defaults(text: str) -> None:
    assert parse(text, BESIDE) == default(BESIDE)


def test_the_shipped_config_file_holds_every_key_with_its_default() -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")

    written = yaml.safe_load(text)

    assert parse(text, BESIDE) == default(BESIDE)
    sections = [f"{name}.{key}" for name, keys in written.items() if isinstance(keys, dict) for key in keys]
    plain = [name for name, value in written.items() if not isinstance(value, dict)]
    assert sorted(sections + plain) == sorted(dotted_keys(default(BESIDE)))


def test_the_shipped_config_file_fits_on_one_screen() -> None:
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 50
    assert max(map(len, lines)) <= 115


def test_relative_paths_lie_beside_the_config_file_and_absolute_ones_stay() -> None:
    config = parse("{paths: {inbox: in, state: /var/lib/returnsd}, web: {token_file: token}}", BESIDE)

    assert config.paths.inbox == Path("/srv/shop/in")
    assert config.paths.state == Path("/var/lib/returnsd")
    assert config.web.token_file == Path("/srv/shop/token")


def test_a_relative_directory_of_the_config_file_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="absolute"):
        parse("", Path("etc"))


def test_all_faults_are_listed_at_once_in_the_order_of_the_file() -> None:
    text = "workers: 0\nwatch:\n  settle_s: fast\n  setle_s: 1\nlog: {level: loud}\n"

    found = faults(text)

    assert [fault.split(":")[0] for fault in found] == [
        "workers",
        "watch.settle_s",
        "watch.setle_s",
        "log.level",
    ]


@pytest.mark.parametrize(
    ("text", "key", "value", "allowed"),
    [
        ("workers: true", "workers", "true", "a whole number of processes from 1 to 64"),
        ("workers: 2.5", "workers", "2.5", "a whole number"),
        ("workers: '2'", "workers", "'2'", "without quotes"),
        ("workers:", "workers", "nothing", "a whole number"),
        ("workers: []", "workers", "[]", "a whole number"),
        ("batch: {max_items: 1025}", "batch.max_items", "1025", "from 1 to 1024"),
        ("batch: {max_wait_s: .nan}", "batch.max_wait_s", ".nan", "a number of seconds"),
        ("batch: {max_wait_s: .inf}", "batch.max_wait_s", ".inf", "a number of seconds"),
        ("batch: {max_wait_s: -0.1}", "batch.max_wait_s", "-0.1", "a number of seconds"),
        ("batch: {max_wait_s: 1e-1}", "batch.max_wait_s", "'1e-1'", "exponent"),
        ("model: {target_accuracy: 1}", "model.target_accuracy", "1", "below 1"),
        ("model: {target_accuracy: 0.5}", "model.target_accuracy", "0.5", "above 0.5"),
        ("model: {threshold: 94}", "model.threshold", "94", "or null"),
        ("model: {bundle: 21}", "model.bundle", "21", "in quotes"),
        ("model: {bundle: ''}", "model.bundle", "''", "text on one line"),
        ("watch: {events: 1}", "watch.events", "1", "true or false"),
        ("watch: {ignore: '*.tmp'}", "watch.ignore", "'*.tmp'", "a list"),
        ("watch: {ignore: [a/b]}", "watch.ignore", "['a/b']", "no /"),
        ("watch: {settle_s: 2026-99-99}", "watch.settle_s", "'2026-99-99'", "a number"),
        ("watch: [1]", "watch", "[1]", "a mapping"),
        ("log: {format: xml}", "log.format", "'xml'", "auto, json, console"),
        ("keep: {rejected_days: 0}", "keep.rejected_days", "0", "or null"),
        ("paths: {inbox: ~/inbox}", "paths.inbox", "'~/inbox'", "not expanded"),
        ("paths: {inbox: ~}", "paths.inbox", "~", "a path"),
        ('paths: {inbox: "a\\0b"}', "paths.inbox", "'a\\x00b'", "a path"),
        ("web: {port: 65536}", "web.port", "65536", "from 0 to 65535"),
        ("return_id_pattern: RMA-[0-9]+", "return_id_pattern", "'RMA-[0-9]+'", "a group"),
        ("return_id_pattern: '(RMA'", "return_id_pattern", "'(RMA'", "unterminated"),
        ("[]", "the file", "[]", "a mapping"),
    ],
)
def test_a_fault_names_the_key_what_was_found_what_is_allowed_and_the_line(
    text: str, key: str, value: str, allowed: str
) -> None:
    fault = only_fault(f"\n{text}\n")

    assert fault.startswith(f"{key}: found {value}, must be ")
    assert allowed in fault
    assert fault.endswith("(line 2)")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("worker: 2", "did you mean workers?"),
        ("watch: {setle_s: 1}", "did you mean watch.settle_s?"),
        ("settle_s: 1", "did you mean watch.settle_s?"),
        ("watch: {max_items: 1}", "did you mean batch.max_items?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(text: str, suggestion: str) -> None:
    assert suggestion in only_fault(text)


def test_an_unknown_key_like_no_other_is_refused_without_a_guess() -> None:
    assert only_fault("zzz: 1") == "zzz: no such key (line 1)"


def test_a_key_given_twice_is_refused() -> None:
    assert only_fault("workers: 2\nworkers: 3\n") == "workers: given twice (line 2)"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("watch:\n  settle_s: [1\n", "line 3, column 1"),
        ("workers: 2\nlog: level: info\n", "line 2, column 11"),
        ("workers: 2\n\tlog: 3\n", "line 2, column 1"),
        ("workers: 2\nlog: \x07\n", "line 2, column 6"),
    ],
)
def test_broken_yaml_names_line_and_column(text: str, place: str) -> None:
    fault = only_fault(text)

    assert fault.startswith("not YAML: ")
    assert fault.endswith(place)


@pytest.mark.parametrize("text", ["[" * 20_000, "&a [*a]", "watch: {ignore: &a [*a]}", 'workers: "\\UFFFFFFFF"'])
def test_hostile_yaml_is_a_config_error(text: str) -> None:
    assert faults(text)


def test_patience_is_at_least_as_long_as_settling() -> None:
    fault = only_fault("watch: {settle_s: 30}")

    assert fault == "watch.patience_s: is 10.0, must be at least watch.settle_s (30.0)"


@pytest.mark.parametrize(
    ("paths", "fault"),
    [
        ("{archive: var/inbox/done}", "paths.archive: must not lie inside paths.inbox"),
        ("{queue: var/inbox/.queue}", "paths.queue: must not lie inside paths.inbox"),
        ("{queue: var/x/../inbox/q}", "paths.queue: must not lie inside paths.inbox"),
        ("{results: var/archive/csv}", "paths.results: must not lie inside paths.archive"),
        ("{inbox: var}", "must not lie inside paths.inbox"),
        ("{queue: ./var/review/}", "paths.queue: must not be the same directory as paths.review"),
        ("{state: var/inbox}", "paths.inbox: must not be the same directory as paths.state"),
    ],
)
def test_directories_that_would_break_each_other_are_refused(paths: str, fault: str) -> None:
    assert any(fault in found for found in faults(f"paths: {paths}"))


def test_the_state_directory_may_hold_the_others() -> None:
    config = parse("paths: {state: var}", BESIDE)

    assert config.paths.inbox.parent == config.paths.state


def test_a_refused_path_is_not_compared_with_the_others() -> None:
    found = faults("paths: {inbox: 3, queue: var/inbox/queue}")

    assert len(found) == 1


@pytest.mark.parametrize(
    ("file_name", "return_id"),
    [("RMA-17 front.jpg", "RMA-17"), ("front RMA-17.jpg", ""), ("front.jpg", ""), ("\udcff", "")],
)
def test_the_return_id_is_the_first_group_found_in_the_name(file_name: str, return_id: str) -> None:
    config = parse("return_id_pattern: '^(RMA-[0-9]+)'", BESIDE)

    assert config.return_id(file_name) == return_id


def test_a_group_that_took_no_part_gives_no_return_id() -> None:
    config = parse("return_id_pattern: '(RMA)?x'", BESIDE)

    assert config.return_id("x.jpg") == ""


def test_without_a_pattern_there_is_no_return_id() -> None:
    assert default(BESIDE).return_id("RMA-17.jpg") == ""


def test_the_reference_names_every_key_with_its_default() -> None:
    table = reference()

    for key in dotted_keys(default(BESIDE)):
        assert table.count(f"| `{key}` |") == 1
    assert "| `watch.settle_s` | `1.0` | a number of seconds from 0 to 3600 |" in table
    assert len({line.count(" | ") for line in table.splitlines()}) == 1


def test_differences_name_the_dotted_keys_that_changed() -> None:
    old = default(BESIDE)
    new = parse("{workers: 3, watch: {settle_s: 2, rescan_s: 5}, return_id_pattern: '(a)'}", BESIDE)

    assert differences(old, new) == ["watch.settle_s", "workers", "return_id_pattern"]
    assert differences(old, old) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "model:\n  bundle: mine\n"),
        ("workers: 3  # two cores", "workers: 3  # two cores\nmodel:\n  bundle: mine\n"),
        ("  workers: 3\n", "  workers: 3\n  model:\n    bundle: mine\n"),
        ("{workers: 3}", "{model: {bundle: mine}, workers: 3}"),
        ("model: {bundle: old, threshold: 0.9}  # ours\n", "model: {bundle: mine, threshold: 0.9}  # ours\n"),
        ("model:\n  # why\n  bundle:   'old'  # ours\n", "model:\n  # why\n  bundle:   mine  # ours\n"),
        ("model:\r\n  bundle: old\r\n", "model:\r\n  bundle: mine\r\n"),
        ("model:\n  bundle: >-\n    old\nworkers: 3\n", "model:\n  bundle: mine\nworkers: 3\n"),
        (
            "model:  # ours\n  # how sure\n  threshold: 0.9\n",
            "model:  # ours\n  bundle: mine\n  # how sure\n  threshold: 0.9\n",
        ),
        ("model:  # ours\nworkers: 3\n", "model: {bundle: mine}  # ours\nworkers: 3\n"),
        ("model: null\n", "model: {bundle: mine}\n"),
        ("model: {}\n", "model: {bundle: mine}\n"),
    ],
)
def test_with_bundle_changes_one_value_and_keeps_every_other_byte(before: str, after: str) -> None:
    assert with_bundle(before, "mine") == after


def test_with_bundle_keeps_the_comments_of_the_shipped_file() -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")

    changed = with_bundle(text, "var/my bundle")

    assert changed == text.replace("bundle: retail21", "bundle: var/my bundle")


@pytest.mark.parametrize(
    ("text", "bundle"),
    [
        ("return_id_pattern: &id '(a)'\nmodel: {bundle: *id}\n", "mine"),
        ("workers: 3\n...\n", "mine"),
        ("workers: 3\n", ""),
        ("workers: 3\n", "two\nlines"),
        ("workers: none\n", "mine"),
    ],
)
def test_with_bundle_refuses_what_it_cannot_change_alone(text: str, bundle: str) -> None:
    with pytest.raises(ConfigError):
        with_bundle(text, bundle)


KEYS = st.sampled_from(["paths", "watch", "model", "workers", "settle_s", "ignore", "bundle", "log", "level", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=4),
    max_leaves=12,
)
YAML_PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#~\n \t",
        "a",
        "watch:",
        "model: ",
        "settle_s: ",
        "!!int ",
        "!!timestamp ",
        "<<: ",
        "0x",
        "---\n",
    ]
)


@given(st.text() | st.lists(YAML_PIECES, max_size=30).map("".join))
def test_parse_raises_nothing_but_config_errors_on_any_text(text: str) -> None:
    try:
        assert isinstance(parse(text, BESIDE), Config)
    except ConfigError as error:
        assert error.faults
        assert all(fault.isprintable() for fault in error.faults)


@given(TREES)
def test_parse_raises_nothing_but_config_errors_on_any_yaml(tree: object) -> None:
    try:
        parse(yaml.safe_dump(tree), BESIDE)
    except ConfigError as error:
        assert error.faults


LINES = st.text(min_size=1, max_size=30).filter(lambda text: text == text.strip() and text.isprintable())


@given(
    bundle=LINES,
    ignore=st.lists(LINES.filter(lambda text: "/" not in text), max_size=4),
    wait_s=st.floats(0, 60),
)
def test_what_show_prints_parses_back_to_the_same_configuration(
    bundle: str, ignore: list[str], wait_s: float
) -> None:
    config = default(BESIDE)
    config = replace(
        config,
        model=replace(config.model, bundle=bundle),
        watch=replace(config.watch, ignore=tuple(ignore)),
        batch=replace(config.batch, max_wait_s=wait_s),
    )

    assert parse(show(config), Path("/elsewhere")) == config


@given(bundle=LINES, flow=st.booleans())
def test_with_bundle_writes_any_name_so_that_it_reads_back(bundle: str, flow: bool) -> None:
    text = "model: {bundle: old, threshold: 0.9}\n" if flow else "model:\n  bundle: old\n  threshold: 0.9\n"

    config = parse(with_bundle(text, bundle), BESIDE)

    assert config.model.bundle == bundle
    assert config.model.threshold == 0.9
