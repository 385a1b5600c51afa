"""
Reading the YAML file into plain values, each of which knows its line.

libyaml's parser is used without YAML 1.1's guesses: what an unquoted scalar means is decided by `plain`, and where
the versions of YAML disagree, the text is kept and the key that gets it may ask for quotes.
Relative paths in the file are relative to its directory.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from exporter.config.model import ConfigurationError, Key, Unquoted, items_of, value_of

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\.")
_DOUBTFUL = re.compile(
    r"""
    [yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF                             # truth values of YAML 1.1
    | [-+]?0[0-9_]+ | [-+]?0[xX][0-9a-fA-F_]+ | [-+]?0[bB][01_]+ | [-+]?0[oO][0-7_]+
    | [-+]?[0-9][0-9_]* | [-+]?[0-9][0-9_]*\.[0-9_]*                      # 1_000, and more digits than a number has
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                  # 12:30 is 750 in base 60
    | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN) | =
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?          # dates and times
    """,
    re.VERBOSE,
)
_PLAIN_TAG, _STRING_TAG = "plain", "tag:yaml.org,2002:str"


def plain(text: str) -> Any:
    """What an unquoted scalar means; where the versions of YAML disagree it is kept as `Unquoted`."""
    if text in _NULLS:
        return None
    if text[0].isalpha() and text not in _BOOLEANS and len(text) > 3:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DOUBTFUL.fullmatch(text) and not (_FLOAT.fullmatch(text) and "." in text and "_" not in text):
        return Unquoted(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Composer(yaml.CSafeLoader):
    """libyaml's parser (ten times as fast as the one in Python) without YAML 1.1's guesses at unquoted scalars."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN_TAG if implicit[0] else _STRING_TAG
        return "tag:yaml.org,2002:" + ("seq" if kind is yaml.SequenceNode else "map")


class Document:
    """A YAML file as plain values, with the line of each key and the keys that stand in it twice."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.faults: list[str] = []
        try:
            composer = _Composer(text)
            try:
                self._root = composer.get_single_node()
            finally:
                composer.dispose()
            self.values = self._value(self._root, ()) if self._root else {}
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            problem = ", ".join(filter(None, (exc.context, exc.problem)))
            raise ConfigurationError([f"{path}:{mark.line + 1 if mark else 1}: expected YAML: {problem}"]) from None
        except yaml.reader.ReaderError as exc:
            line = text.count("\n", 0, exc.position) + 1
            raise ConfigurationError([f"{path}:{line}: expected YAML: a character that it does not allow"]) from None
        except RecursionError:
            raise ConfigurationError([f"{path}: expected YAML that is not nested so deeply"]) from None
        if self.values is None:
            self.values = {}
        if not isinstance(self.values, dict):
            raise ConfigurationError([f"{path}:1: expected a mapping of keys to values, such as accounts: [...]"])

    def _value(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.ScalarNode):
            # A copy: the parser's own strings would each keep the memory around them, which the nodes leave behind.
            if node.tag == _PLAIN_TAG:
                return plain(node.value.encode().decode())
            if node.tag == _STRING_TAG:
                return node.value.encode().decode()
        elif node.tag == "tag:yaml.org,2002:seq":
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        elif node.tag == "tag:yaml.org,2002:map":
            values: dict[str, Any] = {}
            merged: list[Any] = []
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    self._refuse(name, key, "expected keys that are strings")
                elif name.tag == _PLAIN_TAG and name.value == "<<":
                    merge = self._value(value, key)
                    merged += merge if isinstance(merge, list) else [merge]
                elif name.value in values:
                    self._refuse(name, (*key, name.value), "expected this key once: it is here twice")
                else:
                    values[name.value] = self._value(value, (*key, name.value))
            for mapping in merged:
                values = {**mapping, **values} if isinstance(mapping, dict) else values
            return values
        self._refuse(node, key, "expected a value without a tag")
        return None

    def _refuse(self, node: yaml.Node, key: Key, expected: str) -> None:
        self.faults.append(fault_line(f"{self.path}:{node.start_mark.line + 1}", key, expected))

    def line(self, key: Key) -> int:
        """The line of a key, or of the innermost part of its path that is there."""
        node, line = self._root, 0
        for part in key:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((name, value) for name, value in node.value if name.value == part), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = (node.value[part], node.value[part])
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        return line + 1


def read_file(path: Path, *, required: bool) -> Document | None:
    """
    Read the file; None where it is missing and need not be there.

    Raises:
        ConfigurationError: It can't be read, or is no YAML. What is wrong with single keys is in `Document.faults`.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and not required:
            return None
        raise ConfigurationError([f"{path}: expected a file that can be read: {exc.strerror}"]) from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError([f"{path}:{line}: expected UTF-8"]) from None
    document = Document(path, text)
    _anchor_paths(document.values, path.parent)
    return document


def _anchor_paths(values: dict[str, Any], directory: Path) -> None:
    def anchor(section: Any, *keys: str) -> None:
        for key in keys:
            if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
                section[key] = str(directory / section[key])

    anchor(value_of(values.get("web"), "config"), "file")
    for account in items_of(values.get("accounts")):
        anchor(account, "token_file")
        anchor(value_of(account, "http"), "ca_file", "cert_file", "key_file")


def key_path(key: Iterable[str | int]) -> str:
    """A key's path as in `accounts[1].campaigns[0].id`; a part that could be a token is not shown."""
    path = ""
    for part in key:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if _can_be_shown(part) else "<not shown>")
    return path


def fault_line(place: str, key: Key, expected: str) -> str:
    """One line that says where a fault stands and what was expected there."""
    return ": ".join(filter(None, (place, key_path(key), expected)))


def _can_be_shown(key: str) -> bool:
    looks_like_a_token = key.startswith(("pat_", "ak_")) or (len(key) >= 16 and any(c.isdigit() for c in key))
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,31}", key)) and not looks_like_a_token
