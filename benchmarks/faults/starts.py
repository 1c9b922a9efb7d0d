"""Many processes that want one folder at the same moment."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from benchmarks.faults.children import exit_code, fork, kill
from benchmarks.faults.row import Row
from sec_rl.errors import RunFolderError
from sec_rl.files import hold_folder
from sec_rl.run_folder import make_run_folder, open_run_folder, write_config

_REFUSED = 3
_HELD_SECONDS = 0.2


def simultaneous_starts(rounds: int, folder: Path, processes: int = 20) -> Row:
    """Let processes open one run folder at once; exactly one may."""
    lost = corrupted = 0
    for index in range(rounds):
        place = folder / f"start-{index}"
        shutil.rmtree(place, ignore_errors=True)
        reader, writer = os.pipe()

        def start(place: Path = place, reader: int = reader, writer: int = writer) -> None:
            os.close(writer)
            os.read(reader, 1)  # returns to all of them at once, when the parent closes its end
            try:
                with open_run_folder(place, overwrite=False) as mine:
                    make_run_folder(mine, keep=False)
                    write_config(mine, {"winner": os.getpid(), "resolved": {}})
                    time.sleep(_HELD_SECONDS)
            except RunFolderError:
                os._exit(_REFUSED)

        children = [fork(start) for _ in range(processes)]
        os.close(reader)
        os.close(writer)
        codes = [exit_code(child) for child in children]
        lost += codes.count(0) == 0
        corrupted += codes.count(0) > 1 or codes.count(_REFUSED) != processes - codes.count(0)
        shutil.rmtree(place, ignore_errors=True)
    return Row(f"{processes} starts on one folder at once", rounds, lost, corrupted)


def killed_holders(count: int, folder: Path) -> Row:
    """Kill a process that holds a folder; the next one must get it."""
    lost = 0
    for _ in range(count):
        reader, writer = os.pipe()

        def hold(writer: int = writer) -> None:
            with hold_folder(folder / "held", "Folder"):
                os.write(writer, b"x")
                time.sleep(60.0)

        child = fork(hold)
        os.close(writer)
        os.read(reader, 1)
        kill(child)
        os.close(reader)
        try:
            with hold_folder(folder / "held", "Folder"):
                pass
        except RunFolderError:
            lost += 1
    return Row("SIGKILL of a process that holds a folder", count, lost)
