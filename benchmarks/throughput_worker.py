"""A process that holds one recipe: `python -m benchmarks.throughput_worker RECIPE TASK ENCODER THREADS SEED`.

Reads a number of steps per line, answers with a line of JSON; it computes only while it is asked.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict


def main(arguments: Sequence[str]) -> None:
    """Serve blocks until standard input closes."""
    recipe, task, encoder, threads, seed = arguments
    answers = sys.stdout
    # Libraries print to standard output at will; answers must stay alone on it.
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    import torch

    from benchmarks.throughput_recipes import RECIPES, Setup
    from sec_rl.compression.loading import quiet_transformers
    from sec_rl.tasks import load_task

    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    with quiet_transformers():
        block = RECIPES[recipe](Setup(load_task(task), encoder, int(seed)))
    print(json.dumps({"ready": recipe}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(block(int(line)))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
