"""YAML text to plain values and back: the YAML 1.2 core schema, and nothing that executes.

PyYAML alone follows YAML 1.1 (`1e-4` is text there, `on` is a boolean), silently keeps the last of
two equal keys, and expands aliases; all three are wrong for a file of experiment settings.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import yaml

MAX_CHARACTERS = 100_000
"""A config is a page of text; a longer file is not a config."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,3000}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


_CONSTANTS: dict[object, str] = {None: "null", True: "true", False: "false"}


class YamlError(ValueError):
    """The text is not YAML, or not of the kind that configs use; the message says where."""


def parse_yaml(text: str) -> tuple[Any, list[str]]:
    """Turn YAML text into dicts, lists and scalars.

    Returns
    -------
    value : object
        None for an empty document.
    repeated : list of str
        Dotted paths of keys that occur twice in one mapping (the first value is kept).

    Raises
    ------
    YamlError
        If the text is not YAML, uses anchors, aliases or tags, or is too long or too deeply nested.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"{len(text)} characters long; a config has at most {MAX_CHARACTERS}")
    repeated: list[str] = []
    try:
        node = _composed(text)
        value = None if node is None else _value(node, "", repeated)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "not valid YAML"
        raise YamlError(_located(f"{problem}{_remedy(problem)}", error.problem_mark)) from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None
    except RecursionError:
        raise YamlError("nested too deeply for a config") from None
    return value, repeated


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write plain values as YAML: one key per line in the given order, lists on one line."""
    return yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


@lru_cache(1000)
def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar (YAML 1.2.2, section 10.3.2, core schema)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def shown(value: object) -> str:
    """Return a value as an error shows it: short, with lists and constants as YAML writes them."""
    text = _in_one_line(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Loader(yaml.SafeLoader):
    """Composes nodes, but no aliases, which may expand to more than memory holds, and no tags."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise YamlError(_located("aliases (*name) are not supported in a config", mark))
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            problem = f"tags ({event.tag!r}) are not supported in a config"
            raise YamlError(_located(problem, event.start_mark))
        return super().compose_node(parent, index)


_LIBYAML: Any = None
"""The loader that uses libyaml, which is twenty times as fast, if PyYAML was built with it."""

with suppress(ImportError):
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _FastLoader(CParser):
        """Composes the same nodes as `_Loader`, but also aliases and tags.

        Its nodes have no tags of YAML 1.1, which `plain_scalar` replaces.
        """

        def resolve(self, *_: object) -> str:
            return ""

        def descend_resolver(self, *_: object) -> None:
            pass

        ascend_resolver = descend_resolver

    _LIBYAML = _FastLoader


def _composed(text: str) -> yaml.Node | None:
    """Return the nodes of a text; PyYAML reads what may be rejected, for its messages."""
    if _LIBYAML is not None and not any(sign in text for sign in "*&!"):
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=_LIBYAML)
    return yaml.compose(text, Loader=_Loader)


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line, mappings as blocks, and text so that it is read back as text."""


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Quote text that would be read back as something else, such as the name 1e3."""
    reads_the_same = plain_scalar(text) == text and text.isprintable()
    quote = None if reads_the_same else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quote)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def _in_one_line(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_one_line, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_in_one_line(each)}' for key, each in value.items())}}}"
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    return repr(value)


def _value(node: yaml.Node, path: str, repeated: list[str]) -> Any:
    """Return the value of a node; `path` is what the paths of its keys begin with."""
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else plain_scalar(node.value)
    if isinstance(node, yaml.SequenceNode):
        above = path.removesuffix(".")
        return [_value(item, f"{above}[{i}].", repeated) for i, item in enumerate(node.value)]
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError(_located("a key must be a plain word", key_node.start_mark))
        key = key_node.value
        if key in result:
            repeated.append(f"{path}{key}")
        else:
            result[key] = _value(value_node, f"{path}{key}.", repeated)
    return result


_INDENTATION = "indent keys of one section by the same number of spaces"
_REMEDIES = {
    "'\\t'": "indent with spaces, not tabs",
    "mapping values are not allowed": f"{_INDENTATION}, and quote text with a colon",
    "expected <block end>": _INDENTATION,
    "could not find expected ':'": "write `key: value` on this line or the one before it",
}
"""What to do about the messages of PyYAML that are met most, by a part of the message."""


def _remedy(problem: str) -> str:
    found = (f"; {remedy}" for part, remedy in _REMEDIES.items() if part in problem)
    return next(found, "")


def _located(problem: str, mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem
