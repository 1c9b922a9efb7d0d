"""Fuzzing the readers: valid folders with one file spoilt; nothing but our own errors may come out.

``python -m benchmarks.faults.fuzz KIND COUNT SEED`` prints the counts of one kind as JSON. It is a process of its
own, for a library in C may crash, and a reader may ask for all memory.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.faults.samples import KINDS
from sec_rl.errors import SecRlError

_NUMBERS = (0, -1, 1, 2**31, 2**63, 10**30, 1e308, -0.0, 0.5, 1.5, float("nan"), float("inf"))
_TEXTS = ("", "x", "../../etc/passwd", "\x00", "\ud800", "<script>", "1" * 5000, "NaN", "ü")
_ATOMS = st.one_of(st.sampled_from(_NUMBERS), st.sampled_from(_TEXTS), st.none(), st.booleans(), st.integers())
_VALUES = st.one_of(_ATOMS, st.lists(_ATOMS, max_size=3), st.dictionaries(st.text(max_size=3), _ATOMS, max_size=2))

# Inputs after which what libraries load on first use is there.
_WARM_UP = 50
_MOST_FOREIGN = 20


@dataclass
class Counts:
    """What came of fuzzing one kind.

    Attributes:
        inputs: spoilt folders that were read.
        refused: with one of our errors.
        read: all the same: what was spoilt did not matter, or is as good as before.
        foreign: every other error, at most 20, as text.
        peak_growth_bytes: by how much the most memory that was ever in use grew.
    """

    inputs: int = 0
    refused: int = 0
    read: int = 0
    foreign: list[str] = field(default_factory=list)
    peak_growth_bytes: int = 0

    def read_spoilt(self, kind: str, folder: Path, changed: str) -> None:
        """Read a folder of a kind in which a file was spoilt, and count what came of it."""
        self.inputs += 1
        try:
            KINDS[kind].read(folder)
            self.read += 1
        except SecRlError:
            self.refused += 1
        except Exception as error:
            # What this is here to find.
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{changed}: {type(error).__name__}: {str(error)[:150]} ({where.name})"
            if said not in self.foreign and len(self.foreign) < _MOST_FOREIGN:
                self.foreign.append(said)


def fuzz(kind: str, count: int, start: int = 0) -> Counts:
    """Read `count` spoilt folders of a kind; the same seed spoils them in the same way.

    Args:
        kind: key of `KINDS`.
        count: of folders.
        start: seed.
    """
    counts = Counts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sample"
        folder.mkdir()
        KINDS[kind].make(folder)
        sound = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        KINDS[kind].read(folder)

        @seed(start)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def spoil(data: st.DataObject) -> None:
            changed = data.draw(st.sampled_from(sorted(sound)))
            (folder / changed).write_bytes(spoilt(data, sound[changed]))
            if counts.inputs + 1 == _WARM_UP:
                counts.peak_growth_bytes = -_peak_bytes()
            counts.read_spoilt(kind, folder, changed)
            (folder / changed).write_bytes(sound[changed])

        spoil()
        counts.peak_growth_bytes += _peak_bytes() if counts.inputs >= _WARM_UP else 0
    return counts


def spoilt(data: st.DataObject, content: bytes) -> bytes:
    """Return a file's content with something wrong: bytes, or a value where the file is JSON."""
    if data.draw(st.booleans()):
        lines = content.split(b"\n") if content.count(b"\n{") else [content]
        place = data.draw(st.integers(0, len(lines) - 1))
        try:
            lines[place] = json.dumps(_replaced(data, json.loads(lines[place]))).encode()
        except ValueError:
            return _scratched(data, content)
        return b"\n".join(lines)
    return _scratched(data, content)


def _replaced(data: st.DataObject, value: Any) -> Any:
    """Return a JSON value in which one inner value is another, is gone, or is there twice."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.integers(0, 9)) == 0:
            return {name: inner for name, inner in value.items() if name != key}
        return value | {key: _replaced(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        place = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.integers(0, 9)) == 0:
            return [
                *value[:place],
                *value[place : place + 1] * data.draw(st.sampled_from((0, 2))),
                *value[place + 1 :],
            ]
        return [*value[:place], _replaced(data, value[place]), *value[place + 1 :]]
    return data.draw(_VALUES)


def _scratched(data: st.DataObject, content: bytes) -> bytes:
    """Return bytes of which some are flipped, cut off, put in, or all are others."""
    place = data.draw(st.integers(0, max(len(content) - 1, 0)))
    how = data.draw(st.sampled_from(("flip", "cut", "insert", "overwrite", "remove", "other")))
    few = data.draw(st.binary(max_size=16))
    if how == "flip" and content:
        flipped = bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))])
        return content[:place] + flipped + content[place + 1 :]
    if how == "cut":
        return content[:place]
    if how == "insert":
        return content[:place] + few + content[place:]
    if how == "overwrite":
        return content[:place] + few + content[place + len(few) :]
    if how == "remove":
        return content[:place] + content[place + data.draw(st.integers(1, 64)) :]
    return few


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    # A damaged checkpoint that is passed over says so; here that is thousands of lines.
    logging.disable(logging.WARNING)
    print(json.dumps(asdict(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
