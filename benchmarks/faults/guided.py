"""Fuzzing the readers of binary files with atheris: what reaches new code in a reader is kept and spoilt further.

``python -m benchmarks.faults.guided NAME COUNT SEED`` prints the counts of one file as JSON. It is a process of its
own, for libFuzzer ends it, and so does a library in C that crashes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import atheris

from benchmarks.faults.samples import BINARY, KINDS

with atheris.instrument_imports(include=["sec_rl"]):
    import sec_rl.agents.checkpoint
    import sec_rl.agents.policy
    import sec_rl.agents.sealed
    import sec_rl.agents.traces
    import sec_rl.backends.simulator.model
    import sec_rl.classifier
    import sec_rl.measurement.onnx_session
    import sec_rl.tasks.read_parquet

from benchmarks.faults.fuzz import Counts

# Inputs may become this many times as long as the sound file.
_GROWTH = 4


def _reseal(path: Path) -> None:
    """Write the card of a checkpoint anew, with the checksum that its tensors have now."""
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text(encoding="utf-8"))
    del card[sec_rl.agents.sealed.CHECKSUM]
    card[sec_rl.agents.sealed.CHECKSUM] = sec_rl.agents.sealed.checksum(card, path.read_bytes())
    card_path.write_text(json.dumps(card), encoding="utf-8")


# Name -> what an attacker does to the folder so that his file is read.
_ADAPT: dict[str, Callable[[Path], None]] = {"checkpoint, resealed": _reseal}


def main(name: str, count: int, seed: int) -> None:
    """Fuzz one file; ends the process."""
    kind, pattern = BINARY[name]
    adapt, counts = _ADAPT.get(name), Counts()
    with tempfile.TemporaryDirectory() as place:
        folder, corpus = Path(place) / "sample", Path(place) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        KINDS[kind].make(folder)
        path = sorted(folder.glob(pattern))[-1]
        sound = path.read_bytes()
        (corpus / "sound").write_bytes(sound)

        def spoil(data: bytes) -> None:
            path.write_bytes(data)
            if adapt is not None:
                adapt(path)
            counts.read_spoilt(kind, folder, path.name)
            if counts.inputs == count:
                print(json.dumps(asdict(counts)), flush=True)
                # libFuzzer would print more, and nothing after it would run.
                shutil.rmtree(place)
                os._exit(0)

        flags = [f"-seed={seed + 1}", f"-max_len={_GROWTH * len(sound)}", "-verbosity=0", f"-runs={10 * count}"]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], spoil)
        atheris.Fuzz()


if __name__ == "__main__":
    # A damaged checkpoint that is passed over says so; here that is thousands of lines.
    logging.disable(logging.WARNING)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
