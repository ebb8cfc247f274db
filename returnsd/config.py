"""What an operator can set, as frozen records, and the one way from text to them.

Each key is declared once, as a field with its default, its rule and a sentence; parsing, showing and the
reference read those declarations. `parse` refuses what it does not know and names all faults at once. Pure:
text in, records out. Reading the file is left to the caller, making the directories to the spool.
"""
# ruff: noqa: RUF009 (_key only describes a field; its defaults are immutable)

import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from itertools import permutations
from operator import attrgetter
from pathlib import Path
from posixpath import normpath
from typing import Any, TypeVar

import yaml

from returnsd import rules, yaml_text
from returnsd.errors import ConfigError

T = TypeVar("T")


def _key(default: T, rule: rules.Rule, sentence: str) -> T:
    return field(default=default, metadata={"rule": rule, "sentence": sentence})


@dataclass(frozen=True, slots=True)
class Paths:
    """Seven directories. Inbox, queue and shelves must share a filesystem, which the spool checks."""

    inbox: Path = _key(Path("var/inbox"), rules.PATH, "Where pictures arrive; others write here.")
    queue: Path = _key(Path("var/queue"), rules.PATH, "Pictures taken in and not yet judged; ours alone.")
    archive: Path = _key(Path("var/archive"), rules.PATH, "The shelf of what the model is sure of.")
    review: Path = _key(Path("var/review"), rules.PATH, "The shelf of what a person decides.")
    rejected: Path = _key(Path("var/rejected"), rules.PATH, "The shelf of what is no usable picture.")
    results: Path = _key(Path("var/results"), rules.PATH, "The daily CSV files.")
    state: Path = _key(Path("var/state"), rules.PATH, "The ledger and the locks; may hold the other six.")


@dataclass(frozen=True, slots=True)
class Watch:
    """How the inbox is watched; `ignore` patterns match the base name, in upper or lower case."""

    settle_s: float = _key(
        1.0, rules.number(0, 3600, "seconds"), "How long a file must stay unchanged before it is taken in."
    )
    rescan_s: float = _key(
        5.0,
        rules.number(0.01, 3600, "seconds"),
        "How often the whole inbox is looked at, whatever events say.",
    )
    patience_s: float = _key(
        10.0,
        rules.number(0, 86400, "seconds"),
        "How long an incomplete file may stay unchanged before it is rejected; at least settle_s.",
    )
    events: bool = _key(True, rules.SWITCH, "Whether file events ring the doorbell between two scans.")
    recursive: bool = _key(True, rules.SWITCH, "Whether folders inside the inbox are watched too.")
    ignore: tuple[str, ...] = _key(
        (
            ".*",
            "*.tmp",
            "*.part",
            "*.partial",
            "*.crdownload",
            "*.filepart",
            "~*",
            "Thumbs.db",
            "desktop.ini",
        ),
        rules.PATTERNS,
        "File names left alone, in upper or lower case; a file renamed to another name is taken in.",
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """When a batch is judged: full, or old enough, whichever comes first; an idle system judges at once."""

    max_items: int = _key(64, rules.whole(1, 1024, "items"), "How many items are judged together at most.")
    max_wait_s: float = _key(0.25, rules.number(0, 60, "seconds"), "How long an item waits for company at most.")


@dataclass(frozen=True, slots=True)
class Model:
    """Which bundle judges, and how sure it must be; a `threshold` of None is picked from the calibration."""

    bundle: str = _key("retail21", rules.TEXT, "The model: a bundle's name, or the path of its directory.")
    target_accuracy: float = _key(
        0.94, rules.between(0.5, 1), "What share of the automatically archived items must be right."
    )
    threshold: float | None = _key(
        None,
        rules.optional(rules.number(0, 1)),
        "The confidence from which an item is archived; null: the lowest one that reaches target_accuracy.",
    )
    shortlist_coverage: float = _key(
        0.75, rules.between(0, 1), "How often the shortlist given to a person holds the right category."
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much: beyond it a picture is rejected with a reason."""

    file_mib: int = _key(64, rules.whole(1, 4096, "MiB"), "The largest file that is opened.")
    pixels_mp: int = _key(50, rules.whole(1, 1000, "megapixels"), "The largest picture that is decoded.")
    decode_s: float = _key(20.0, rules.number(0.05, 3600, "seconds"), "How long decoding one picture may take.")
    attempts: int = _key(
        2, rules.whole(1, 10, "attempts"), "How often a picture that crashes the decoder is tried."
    )


@dataclass(frozen=True, slots=True)
class Web:
    """Where the page and the API listen, who may use them, and how much is audited."""

    host: str = _key("127.0.0.1", rules.TEXT, "The address that the page and the API listen on.")
    port: int = _key(5001, rules.whole(0, 65535), "Their port; 0 takes any free one.")
    token_file: Path | None = _key(
        None, rules.optional(rules.PATH), "A file with the token that the API asks for; null: none."
    )
    audit_share: float = _key(
        0.01, rules.number(0, 1), "What share of the archived items is shown to people for audit."
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged and how; `auto` is JSON lines, or readable lines on a terminal."""

    level: str = _key(
        "info", rules.choice("debug", "info", "warning", "error"), "The least important events still logged."
    )
    format: str = _key(
        "auto",
        rules.choice("auto", "json", "console"),
        "JSON lines, readable lines, or auto: readable lines on a terminal only.",
    )


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days shelved files are kept; None is for ever."""

    archive_days: int | None = _key(
        None,
        rules.optional(rules.whole(1, 36500, "days")),
        "When archived files are deleted; null: never.",
    )
    rejected_days: int | None = _key(
        30, rules.optional(rules.whole(1, 36500, "days")), "When rejected files are deleted; null: never."
    )


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told how `returnsd batch` ended, and how: nobody, unless a webhook or an address is given."""

    when: str = _key("always", rules.choice("always", "failure"), "Whether to tell of every end, or of failures.")
    webhook: str | None = _key(
        None, rules.optional(rules.URL), "Where the report is posted as JSON; null: nowhere."
    )
    webhook_token_file: Path | None = _key(
        None, rules.optional(rules.PATH), "A file with the token that is sent to the webhook; null: none."
    )
    email_to: tuple[str, ...] = _key((), rules.ADDRESSES, "Who gets the report by e-mail.")
    email_from: str | None = _key(
        None, rules.optional(rules.TEXT), "The sender of the e-mail; null: returnsd at this machine's name."
    )
    smtp_host: str = _key("localhost", rules.TEXT, "The mail server.")
    smtp_port: int = _key(25, rules.whole(1, 65535), "Its port: 25, 587 for starttls, 465 for tls.")
    smtp_security: str = _key(
        "none", rules.choice("none", "starttls", "tls"), "How the connection to the mail server is protected."
    )
    smtp_user: str | None = _key(None, rules.optional(rules.TEXT), "The name to log in with; null: no login.")
    smtp_password_file: Path | None = _key(
        None, rules.optional(rules.PATH), "A file with the password to log in with."
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. As `parse` makes it, every path is absolute and every number in its range."""

    paths: Paths = field(default_factory=Paths)
    watch: Watch = field(default_factory=Watch)
    batch: Batch = field(default_factory=Batch)
    model: Model = field(default_factory=Model)
    workers: int = _key(2, rules.whole(1, 64, "processes"), "How many processes decode pictures.")
    limits: Limits = field(default_factory=Limits)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    keep: Keep = field(default_factory=Keep)
    notify: Notify = field(default_factory=Notify)
    return_id_pattern: str | None = _key(
        None,
        rules.optional(rules.REGEX),
        "A regular expression; its first group, found in a file name, is the return id: '^(RMA-[0-9]+)'.",
    )
    return_id_regex: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile return_id_pattern once."""
        compiled = None if self.return_id_pattern is None else re.compile(self.return_id_pattern)
        object.__setattr__(self, "return_id_regex", compiled)

    def return_id(self, file_name: str) -> str:
        """Return what return_id_pattern finds in a file name, or an empty text."""
        found = self.return_id_regex.search(file_name) if self.return_id_regex else None
        return (found.group(1) or "") if found else ""


def parse(text: str, beside: Path) -> Config:
    """Read a configuration; relative paths are taken from `beside`, the config file's absolute directory.

    Raises ConfigError with every fault found, each naming the key, what is allowed and what was found.
    """
    if not beside.is_absolute():
        raise ValueError(f"the config file's directory must be given as an absolute path: {beside}")
    reading = _Reading(beside)
    config = reading.record(Config, yaml_text.compose(text))
    faults = [fault for _, fault in sorted(reading.faults)]
    faults += [fault for keys, fault in _conflicts(config) if not reading.refused & keys]
    if faults:
        raise ConfigError(faults)
    return config


def default(beside: Path) -> Config:
    """Return the configuration of an empty file in that directory."""
    return parse("", beside)


def show(config: Config) -> str:
    """Return the configuration as YAML that `parse` reads back to an equal one."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=float("inf"))


def differences(old: Config, new: Config) -> list[str]:
    """Return the dotted keys whose values differ, in the order of the reference."""
    before, after = dict(_values(old)), dict(_values(new))
    return [key for key in before if before[key] != after[key]]


def reference() -> str:
    """Return a Markdown table of every key: its default, what is allowed and what it is for."""
    rows = ["| key | default | allowed | what it is for |", "| --- | --- | --- | --- |"]
    for name, declared in _keys(Config):
        shown = yaml_text.inline(_plain(declared.default))
        cells = (f"`{name}`", f"`{shown}`", declared.metadata["rule"].allowed, declared.metadata["sentence"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def with_bundle(text: str, bundle: str) -> str:
    """Return the config text with model.bundle changed and every other byte kept.

    Raises ConfigError when the text is faulty already, or cannot be changed in that one value.
    """
    edited = yaml_text.edit(text, "model", "bundle", bundle)
    before = parse(text, Path("/"))
    try:
        after = parse(edited, Path("/"))
    except ConfigError:
        after = before
    if after != replace(before, model=replace(before.model, bundle=bundle)):
        raise ConfigError([f"model.bundle: cannot be changed to {bundle!r} in this file; edit it by hand"])
    return edited


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over a document: the faults found, as (line, text), and the keys whose values were refused."""

    beside: Path
    faults: list[tuple[int, str]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def record(self, kind: type[T], node: yaml.Node | None, prefix: str = "") -> T:
        """Build a record from a mapping, with the default of every key that is absent or refused."""
        nodes = self._nodes(kind, node, prefix)
        values: dict[str, object] = {}
        for declared in _settable(kind):
            name, found = prefix + declared.name, nodes.get(declared.name)
            section = _section(declared)
            values[declared.name] = (
                self.record(section, found, name + ".") if section else self._value(declared, found, name)
            )
        return kind(**values)

    def _nodes(self, kind: type, node: yaml.Node | None, prefix: str) -> dict[str, yaml.Node]:
        """Return the nodes of known keys by name."""
        nodes: dict[str, yaml.Node] = {}
        if node is None or yaml_text.is_null(node):
            return nodes
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, prefix.rstrip(".") or "the file", "a mapping of keys to values")
            return nodes
        known = [declared.name for declared in _settable(kind)]
        for key, value in node.value:
            name = yaml_text.name_of(key)
            if name not in known:
                self._fault(key, f"{prefix}{name}: no such key{_hint(prefix, name, known)}")
            elif name in nodes:
                self._fault(key, f"{prefix}{name}: given twice")
            else:
                nodes[name] = value
        return nodes

    def _value(self, declared: Field[Any], node: yaml.Node | None, name: str) -> object:
        value = declared.default
        if node is not None:
            rule: rules.Rule = declared.metadata["rule"]
            try:
                value = rule.read(yaml_text.value_of(node))
            except ValueError as error:
                self._refuse(node, name, str(error) or rule.allowed)
        return self.beside / value if isinstance(value, Path) else value

    def _refuse(self, node: yaml.Node, name: str, allowed: str) -> None:
        self.refused.add(name)
        self._fault(node, f"{name}: found {yaml_text.found(node)}, must be {allowed}")

    def _fault(self, node: yaml.Node, text: str) -> None:
        line = node.start_mark.line + 1
        self.faults.append((line, f"{text} (line {line})"))


def _conflicts(config: Config) -> Iterator[tuple[set[str], str]]:
    """Yield what cannot go together: the keys, and the fault in words."""
    watch = config.watch
    if watch.patience_s < watch.settle_s:
        yield (
            {"watch.patience_s", "watch.settle_s"},
            f"watch.patience_s: is {watch.patience_s}, must be at least watch.settle_s ({watch.settle_s})",
        )
    notify = config.notify
    if (notify.smtp_user is None) != (notify.smtp_password_file is None):
        yield (
            {"notify.smtp_user", "notify.smtp_password_file"},
            "notify.smtp_user: needs notify.smtp_password_file, and the other way round",
        )
    # a link may make two of these one directory all the same: the spool looks at the real ones
    places = {name: Path(normpath(path)) for name, path in _values(config.paths, "paths.")}
    for name, other in permutations(places, 2):
        inside, outside = places[name], places[other]
        if inside == outside and name < other:
            yield {name, other}, f"{name}: must not be the same directory as {other}: {inside}"
        elif outside in inside.parents and other != "paths.state":
            yield {name, other}, f"{name}: must not lie inside {other}: {inside} is in {outside}"


def _hint(prefix: str, name: str, known: list[str]) -> str:
    """Return a suggestion for an unknown key: a sibling spelt alike, or the section it belongs to."""
    elsewhere = [key for key, _ in _keys(Config) if key.split(".")[-1] == name]
    alike = [prefix + key for key in get_close_matches(name, known, 1)]
    return f"; did you mean {(alike or elsewhere)[0]}?" if alike or elsewhere else ""


def _settable(kind: type) -> list[Field[Any]]:
    return [declared for declared in fields(kind) if declared.init]


def _section(declared: Field[Any]) -> type | None:
    """Return the record behind a section's field, None of a plain key."""
    return declared.default_factory if isinstance(declared.default_factory, type) else None


def _keys(kind: type, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Yield every plain key below a record by its dotted name."""
    for declared in _settable(kind):
        if section := _section(declared):
            yield from _keys(section, prefix + declared.name + ".")
        else:
            yield prefix + declared.name, declared


def _values(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, _ in _keys(type(record), prefix):
        yield name, attrgetter(name.removeprefix(prefix))(record)


def _plain(value: Any) -> Any:
    """Return a value, or a record of them, as what YAML can hold."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value):
        return {declared.name: _plain(getattr(value, declared.name)) for declared in _settable(type(value))}
    return value
