"""YAML as text with places in it: what was written where, and how to change one value and nothing else.

Documents are read into nodes, which know their line, and never into objects of a document's choosing. Broken
YAML is a ConfigError that names line and column. Pure.
"""

import yaml

from returnsd.errors import ConfigError

_BARE = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}


def compose(text: str) -> yaml.Node | None:
    """Return the root node of a document, None of an empty one."""
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = _place(before.count("\n"), len(before) - before.rfind("\n") - 1)
        raise ConfigError([f"not YAML: a character that no text file holds, {place}"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", {_place(mark.line, mark.column)}" if mark else ""
        raise ConfigError([f"not YAML: {error.problem or error.context}{place}"]) from error
    except RecursionError as error:
        raise ConfigError(["not YAML that can be read: nested too deeply"]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError([f"not YAML: {error}"]) from error
    return root


def value_of(node: yaml.Node) -> object:
    """Return what a scalar, or a list of scalars, stands for; raise ValueError for anything else."""
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(child) for child in node.value]
    return _scalar(node)


def is_null(node: yaml.Node) -> bool:
    """Say whether nothing was written, or null."""
    return bool(node.tag == "tag:yaml.org,2002:null")


def found(node: yaml.Node) -> str:
    """Return what was written, short enough for a message and safe to print."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if any(child.id != "scalar" for child in node.value) else _listed(node.value)
    if not node.value and node.tag.endswith(":null"):
        return "nothing"
    text = _short(node.value)
    return text if text.isprintable() and node.tag in _BARE else repr(text)


def name_of(key: yaml.Node) -> str:
    """Return the name that a key was given, short enough for a message and safe to print."""
    if not isinstance(key, yaml.ScalarNode):
        return found(key)
    name = _short(key.value)
    return name if name.isprintable() else repr(name)


def inline(value: object) -> str:
    """Return a plain value as YAML that fits on one line and into a flow mapping."""
    dumped: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf"))
    return dumped.rstrip("\n")[1:-1]


def edit(text: str, section: str, key: str, value: object) -> str:
    """Return the text with section.key set to a value; everything else is kept byte for byte."""
    word = inline(value)
    root = compose(text)
    parent = _child(root, section)
    if target := _child(parent, key):
        return _replaced(text, target, word)
    if parent is not None and is_null(parent):
        return _replaced(text, parent, f"{{{key}: {word}}}")
    if isinstance(parent, yaml.MappingNode):
        return _inserted(text, root, section, parent, f"{key}: {word}")
    if isinstance(root, yaml.MappingNode) and root.flow_style:
        return _opened(text, root, f"{section}: {{{key}: {word}}}")
    indent = " " * root.start_mark.column if isinstance(root, yaml.MappingNode) else ""
    newline = _newline(text)
    gap = newline if text and not text.endswith("\n") else ""
    return f"{text}{gap}{indent}{section}:{newline}{indent}  {key}: {word}{newline}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _listed(nodes: list[yaml.Node]) -> str:
    return "[" + ", ".join(found(node) for node in nodes[:12]) + (", ...]" if nodes[12:] else "]")


def _scalar(node: yaml.Node) -> object:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith("tag:yaml.org,2002:"):
        raise ValueError
    try:
        value: object = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # PyYAML lets these out for a date such as 2026-99-99 or an explicit tag that does not fit
        raise ValueError from error
    return value


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"


def _pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pair = _pair(node, name)
    return pair[1] if pair else None


def _replaced(text: str, node: yaml.Node, word: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    before = " " if start == end else ""  # nothing was written after the colon
    after = _newline(text) if text[start : start + 1] in ("|", ">") else ""  # a block scalar owns its line end
    return text[:start] + before + word + after + text[end:]


def _inserted(text: str, root: yaml.Node | None, section: str, parent: yaml.MappingNode, entry: str) -> str:
    """Put an entry into a mapping: first within braces, or on the line below the section's name."""
    if parent.flow_style:
        return _opened(text, parent, entry)
    pair = _pair(root, section)
    named = pair[0].end_mark.index if pair else 0
    below = text.find("\n", named) + 1
    return text[:below] + " " * parent.start_mark.column + entry + _newline(text) + text[below:]


def _opened(text: str, mapping: yaml.MappingNode, entry: str) -> str:
    inside = text.index("{", mapping.start_mark.index) + 1
    return text[:inside] + entry + (", " if mapping.value else "") + text[inside:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
