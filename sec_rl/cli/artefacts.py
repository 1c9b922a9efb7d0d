"""`predict`, `compare`, `tasks`, `measure` and `push`: what is done with finished runs, and before the first one."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sec_rl.cli.application import app
from sec_rl.cli.groups import LEARNED, LOOK, SHARE
from sec_rl.errors import InputError


@app.command(group=LEARNED)
def predict(
    model: Path,
    /,
    *texts: str,
    pair: Annotated[list[str] | None, Parameter(negative="")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Classify texts with an exported model; needs neither torch nor transformers.

    Example: sec-rl predict runs/first/model "a gorgeous, witty film"

    Parameters
    ----------
    model
        The `model` folder of a run, or hub:OWNER/NAME.
    texts
        Texts to classify; `-` reads them from standard input, a line each.
    pair
        Second text of each, in their order, for tasks on pairs: once per text.
    as_json
        Print one JSON object per text: label, probability, probabilities of all labels.
    seed
        Accepted by every command; prediction draws nothing.
    quiet
        Print the label only.
    """
    from sec_rl.classifier import Classifier

    if not texts:
        raise InputError("predict needs at least one text, or - to read them from standard input.")
    lines = _typed_lines() if texts == ("-",) else list(texts)
    for prediction in Classifier(model).predict(lines, pair):
        if as_json:
            print(json.dumps(asdict(prediction)))
        else:
            print(prediction.label if quiet else f"{prediction.label}\t{prediction.probability:.4f}")


@app.command(group=LOOK)
def compare(*runs: Path, out: Path | None = None, seed: int = 0, quiet: bool = False) -> None:
    """Print finished runs side by side.

    Example: sec-rl compare runs/first runs/second --out comparison.html

    Parameters
    ----------
    runs
        Run folders.
    out
        HTML page to write: the table, and accuracy over size and over latency with the Pareto front.
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print nothing but errors.
    """
    from sec_rl.cli.printing import print_comparison
    from sec_rl.report.compare import compare as compare_runs

    results = compare_runs(runs, out)
    if not quiet:
        print_comparison(results)


@app.command(group=LOOK)
def tasks(*, seed: int = 0, quiet: bool = False) -> None:
    """List the packaged tasks.

    Example: sec-rl tasks

    Parameters
    ----------
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print the names only.
    """
    from sec_rl.cli.printing import print_tasks

    print_tasks(names_only=quiet)


@app.command(group=LOOK)
def measure(folder: Path, /, *, threads: int | None = None, seed: int = 0, quiet: bool = False) -> None:
    """Time a finished run again on this machine, against the dense encoder.

    Example: sec-rl measure runs/first

    Parameters
    ----------
    folder
        Run folder.
    threads
        Threads of each model; by default as many as in the run, or every core where there are fewer.
    seed
        Accepted by every command; token ids are fixed.
    quiet
        Write the file and print nothing.
    """
    from sec_rl.agents.measure import measure as measure_again
    from sec_rl.cli.printing import print_measurement

    path, measured = measure_again(folder, threads=threads)
    if not quiet:
        print_measurement(path, measured)


@app.command(group=SHARE)
def push(
    folder: Path,
    repository: str,
    /,
    *,
    licence: Annotated[str | None, Parameter(name="--license")] = None,
    private: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Upload a policy, or the model of a run, to the Hugging Face hub.

    Example: sec-rl push runs/first OWNER/NAME --license apache-2.0

    Parameters
    ----------
    folder
        Folder of a policy or a run; of a run its `model` is uploaded, with its card.
    repository
        OWNER/NAME on the hub, as the one who is logged in there (hf auth login).
    licence
        The hub's identifier of a licence; by default `other`.
    private
        Make a new repository private.
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print the address only.
    """
    from sec_rl.agents.publish import publish

    address = publish(folder, repository, licence=licence, private=private)
    print(address if quiet else f"{folder} is now at {address}")


def _typed_lines() -> list[str]:
    """Return the lines of standard input; bytes that are no UTF-8 stay as lone surrogates, which are named later."""
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
