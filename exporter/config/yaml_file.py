"""
The YAML file as plain values, each of which knows its line.

Where the versions of YAML read an unquoted scalar differently, its text is kept, and its key may ask for quotes.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from exporter.config.fields import Unquoted
from exporter.config.files import read_regular
from exporter.config.section import ConfigurationError, Key, Section, fault_line, items_of, section_of

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_OF_YAML_1_2 = re.compile(r"[-+]?[0-9]+|0o[0-7]+")
_TAG = "tag:yaml.org,2002:"
_UNQUOTED_TAG = "unquoted"
_YAML_1_1 = yaml.resolver.Resolver()
# A file of 10,000 campaigns has 100,000 nodes.
_MOST_NODES = 2_000_000
_DEEPEST = 100


def unquoted(text: str) -> Any:
    """What an unquoted scalar means; where the versions of YAML disagree it is kept as `Unquoted`."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    tag = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag == _TAG + "null":
        return None
    agreed = tag == _TAG + "str" and not _NUMBER_OF_YAML_1_2.fullmatch(text)
    return text if agreed else Unquoted(text)


class _Composer(yaml.CSafeLoader):
    """libyaml's parser (ten times as fast as the one in Python) without YAML 1.1's guesses at unquoted scalars."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _UNQUOTED_TAG if implicit[0] else _TAG + "str"
        return _TAG + ("seq" if kind is yaml.SequenceNode else "map")


class Document:
    """A YAML file as plain values, with the line of each key and the faults of single keys."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.faults: list[str] = []
        try:
            _check_depth(text)
            self._root = yaml.compose(text, _Composer)
            nodes = _unfolded(self._root, {})
            if nodes == math.inf:
                raise RecursionError
            if nodes > _MOST_NODES:
                raise ConfigurationError([f"{path}: expected YAML with fewer aliases: they unfold to too many values"])
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
            text = node.value.encode().decode()
            if node.tag in (_UNQUOTED_TAG, _TAG + "str"):
                return text if node.tag != _UNQUOTED_TAG else unquoted(text)
        elif node.tag == _TAG + "seq":
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, key)
        self._refuse(node, key, "expected a value without a tag")
        return None

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._refuse(name, key, "expected keys that are strings")
            elif name.tag == _UNQUOTED_TAG and name.value == "<<":
                merged = {**self._merged(name, value, key), **merged}
            elif name.value in values:
                self._refuse(name, (*key, name.value), "expected this key once: it is here twice")
            else:
                values[name.value] = self._value(value, (*key, name.value))
        return {**merged, **values}

    def _merged(self, name: yaml.Node, node: yaml.Node, key: Key) -> dict[str, Any]:
        """What a merge key brings; of several mappings the earlier ones win."""
        value = self._value(node, key)
        mappings = value if isinstance(value, list) else [value]
        if not mappings or not all(isinstance(mapping, dict) and mapping for mapping in mappings):
            self._refuse(name, key, "expected a mapping to merge behind <<, as in <<: *name: this merges nothing")
            return {}
        return {name: item for mapping in reversed(mappings) for name, item in mapping.items()}

    def _refuse(self, node: yaml.Node, key: Key, expected: str) -> None:
        self.faults.append(fault_line(f"{self.path}:{node.start_mark.line + 1}", key, expected))

    def anchored(self, section: type[Section]) -> dict[str, Any]:
        """The values, with the relative paths of a section's files made to begin at this one's directory."""
        self._anchor(section, self.values)
        return self.values

    def _anchor(self, section: type[Section], values: Any) -> None:
        for item in items_of(values):
            self._anchor(section, item)
        for name, field in section.model_fields.items() if isinstance(values, dict) else ():
            if inner := section_of(field):
                self._anchor(inner, values.get(name))
            elif name.endswith("file") and isinstance(values.get(name), str) and values[name]:
                values[name] = str(self.path.parent / values[name])

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


def _check_depth(text: str) -> None:
    """Refuse what is nested deeply: the composer calls itself for each level and would overrun the C stack."""
    depth = 0
    for event in yaml.parse(text, _Composer):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise RecursionError


def _unfolded(node: yaml.Node | None, known: dict[int, float]) -> float:
    """How many nodes there are once each alias stands for a copy of what it names; infinity where one holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        if isinstance(node, yaml.MappingNode):
            nodes = sum(_unfolded(name, known) + _unfolded(value, known) for name, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            nodes = sum(_unfolded(item, known) for item in node.value)
        else:
            nodes = len(node.value) / 64 if node else 0
        known[id(node)] = 1 + nodes
    return known[id(node)]


def read_file(path: Path, *, required: bool) -> Document | None:
    """
    Read the file; None where it is missing and not required.

    Raises ConfigurationError where it can't be read, or is no YAML; the document has the faults of single keys.
    """
    try:
        content = read_regular(path)
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and not required:
            return None
        raise ConfigurationError([f"{path}: expected a file that can be read: {exc.strerror}"]) from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError([f"{path}:{line}: expected UTF-8"]) from None
    return Document(path, text)
