"""YAML as configuration files need it: plain values, every key once, bounded, and nothing that could run.

Scalars are told as YAML 1.2 tells them, so `task: no` is a name and `2e-5` a number; anchors and `<<` work. Values
are made here, from the nodes of the parsed document: no tag makes an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

_PREFIX = "tag:yaml.org,2002:"
# What YAML 1.1 takes for a date, or for `=`, is a word here.
_NAMES = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
_PLAIN = {_PREFIX + name for name in _NAMES}
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MERGE = "<<"


def parse_yaml(text: str, most: int) -> dict[str, Any]:
    """Return the mapping that a YAML document holds; a key without a value is as if it were not there.

    Args:
        text: the document.
        most: characters that its values may have together, once every alias is written out.

    Raises:
        ValueError: it is no YAML, no mapping, repeats a key, names a tag, or says more than `most`; with the line.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else _Reading(most).value(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"line {mark.line + 1}: {words}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("line 1: it holds no keys with values")
    return values


class _Reading:
    """Makes values of nodes, until they are too many.

    A few lines of aliases to aliases say more than a memory holds; whoever reads on would write them out.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def value(self, node: Any) -> Any:
        """Return what a node says."""
        if node.tag not in _PLAIN:
            raise _fault(node, f"the tag {node.tag.replace(_PREFIX, '!!')!r} is not taken, only plain values are")
        self._spend(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        return _scalar(node.value) if node.style is None else node.value

    def _mapping(self, node: Any) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(key, "a key is no plain word")
            if key.value in own:
                raise _fault(key, f"the key {key.value!r} is there twice")
            self._spend(key)
            own[key.value] = self.value(inner)
            if key.value == _MERGE:
                for table in self._tables(inner, own.pop(_MERGE)):
                    merged = table | merged
        return merged | {key: value for key, value in own.items() if value is not None}

    def _spend(self, node: Any) -> None:
        self._left -= 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self._left < 0:
            raise _fault(node, f"its aliases say more than {self._most} characters")

    @staticmethod
    def _tables(node: Any, value: Any) -> Iterator[dict[str, Any]]:
        """Return the tables that `<<` takes in; the first one that has a key wins."""
        for table in value if isinstance(value, list) else [value]:
            if not isinstance(table, dict):
                raise _fault(node, f"{_MERGE!r} takes a table, or a list of tables")
            yield table


def _scalar(text: str) -> Any:
    """Return what an unquoted word is."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _fault(node: Any, words: str) -> ValueError:
    return ValueError(f"line {node.start_mark.line + 1}: {words}")
