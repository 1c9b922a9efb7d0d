"""Does what we export mean the same to everybody who loads it: transformers, Optimum, OpenVINO?

    python -m benchmarks.interop --tasks-root $SEC_RL_TASKS

One short controlled run per task; each library then loads its `model` folder and classifies 200 test texts.
Optimum pins an older transformers, so it and OpenVINO live in an environment of their own, `OUT/environment`, which
this benchmark makes with venv and pip.
"""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import interop_worker
from benchmarks.console import exit_with, say
from benchmarks.options import Options, parse_options
from benchmarks.runs import BenchmarkError, RunSpec, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.classifier import Classifier
from sec_rl.tasks import load_task

TASKS = ("trec6",)
N_TEXTS, PASSES, RATIO = 200, 3_200, 0.5
REQUIREMENTS = ("optimum-onnx[onnxruntime]", "openvino")
# The same torch as here, which is free of CUDA; pip would fetch another one.
CONSTRAINT = "torch=={version}"
Probabilities = NDArray[np.float64]


def main() -> int:
    """Make the runs, ask every library, and write the table."""
    options = parse_options("interop", "Load exported models with other libraries.", tasks=TASKS)
    specs = [
        RunSpec(
            task,
            {
                "task": str(options.task_folder(task)),
                "encoder": options.encoder,
                "schedule": "cubic",
                "compression-ratio": str(RATIO),
                "passes": str(options.passes or PASSES),
                "threads": str(options.threads),
                # Nothing here is about time.
                "latency-rounds": "1",
                "pruning.cost": "flops",
            },
        )
        for task in options.tasks
    ]
    folders = run_all(specs, options.out, say, crew=options.crew)
    rows, data = [], dict[str, Any]()
    for task, folder in folders.items():
        texts = list(load_task(str(options.task_folder(task))).test.texts[:N_TEXTS])
        ours = classified(folder / "model", texts)
        others, versions = asked(folder / "model", texts, options)
        others = {"transformers pipeline, fp32 weights": in_pipeline(folder / "model", texts), **others}
        found = {library: differences(ours, theirs) for library, theirs in others.items()}
        data[task] = {"versions": versions, "differences": found}
        rows += [
            [f"{task}, {library}", f"{100.0 * d['same']:.1f} %", f"{d['mean']:.4f}", f"{d['largest']:.4f}"]
            for library, d in found.items()
        ]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    page = write_results(
        options,
        "Other libraries that load the artefact",
        tables=[markdown_table(["loaded by", "same label", "mean difference", "largest difference"], rows)],
        notes=[
            f"Over {N_TEXTS} test texts, one at a time, against `sec_rl.Classifier` on the same folder; differences "
            "are of probabilities, the largest over the classes.",
            f"The environment of Optimum and OpenVINO: {named}.",
            "Optimum and OpenVINO read the int8 `model.onnx`; the pipeline reads the weights before rounding.",
        ],
        over="",
        data=data,
    )
    print(page)
    return 0


def differences(ours: Probabilities, theirs: Probabilities) -> dict[str, float]:
    """Compare predictions of the same texts, (texts, classes) each."""
    worst = np.abs(ours - theirs).max(axis=1)
    same = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    return {"same": same, "mean": float(worst.mean()), "largest": float(worst.max())}


def classified(model: Path, texts: list[str]) -> Probabilities:
    """Classify with the package's own class."""
    classifier = Classifier(model, threads=1)
    found = [classifier.predict([text])[0] for text in texts]
    return np.array([[p.probabilities[name] for name in classifier.label_names] for p in found])


def in_pipeline(model: Path, texts: list[str]) -> Probabilities:
    """Classify with transformers' pipeline, which knows the slim encoder through `import sec_rl`."""
    from transformers import pipeline

    names = Classifier(model, threads=1).label_names
    ask = pipeline("text-classification", model=str(model), top_k=None, truncation=True, device="cpu")
    found = [{answer["label"]: answer["score"] for answer in ask([text])[0]} for text in texts]
    return np.array([[row[name] for name in names] for row in found])


def asked(model: Path, texts: list[str], options: Options) -> tuple[dict[str, Probabilities], dict[str, str]]:
    """Classify with the libraries of the other environment; returns their versions, too.

    Raises:
        BenchmarkError: it cannot be made, or a library failed.
    """
    python = environment(options.out / "environment")
    request, answer = options.out / "texts.json", options.out / "answer.json"
    request.write_text(json.dumps(texts), encoding="utf-8")
    worker = Path(interop_worker.__file__).resolve()
    _call([str(python), str(worker), *(str(path.resolve()) for path in (model, request, answer))])
    found = json.loads(answer.read_text(encoding="utf-8"))
    return {name: np.array(rows) for name, rows in found["probabilities"].items()}, dict(found["versions"])


def environment(place: Path) -> Path:
    """Make the other environment, unless it is there already; returns its interpreter."""
    import torch

    python = place / "bin" / "python"
    whole = place / "whole"
    if not whole.exists():
        say(f"Installing {', '.join(REQUIREMENTS)} into {place}.")
        venv.create(place, with_pip=True, clear=True)
        constraints = place / "constraints.txt"
        constraints.write_text(CONSTRAINT.format(version=torch.__version__.partition("+")[0]) + "\n")
        _call([str(python), "-m", "pip", "install", "-q", "-c", str(constraints), *REQUIREMENTS])
        whole.touch()
    return python.absolute()


def _call(command: list[str]) -> None:
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    if ended.returncode:
        last = "\n".join(ended.stderr.splitlines()[-10:])
        raise BenchmarkError(f"{Path(command[1]).name} ended with code {ended.returncode}; it printed:\n{last}")


if __name__ == "__main__":
    exit_with(main)
