"""A small valid folder of every kind that sec-rl reads, and the reader of each."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sec_rl.errors import InputError


@dataclass(frozen=True)
class Kind:
    """Something that is read from disk.

    Attributes:
        make: writes a valid one into an empty folder.
        read: reads a folder; raises `SecRlError` when it cannot.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], object]


def _make_policy(folder: Path) -> None:
    from sec_rl.agents.network import Network
    from sec_rl.agents.policy import Policy, save_policy
    from sec_rl.envs.observation import OBSERVATION_NAMES

    generator, n = np.random.default_rng(0), len(OBSERVATION_NAMES)

    def some(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape).astype(np.float32)

    layers = (some(8, n), some(2, 8)), (some(8), some(2))
    save_policy(Policy(Network(np.zeros(n, np.float32), np.ones(n, np.float32), *layers, "clip")), folder)


def _read_policy(folder: Path) -> object:
    from sec_rl.agents.policy import load_policy

    return load_policy(folder)


def _make_simulator(folder: Path) -> None:
    from sec_rl.agents.shipped import shipped_simulator

    for path in shipped_simulator().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def _read_simulator(folder: Path) -> object:
    from sec_rl.backends.simulator.model import load_simulator

    return load_simulator(folder)


def _make_checkpoint(folder: Path) -> None:
    from sec_rl.agents.checkpoint import save_state

    generator = np.random.default_rng(1)
    for number in (1, 2):
        save_state(folder, number, {"a": {"b": generator.standard_normal((16, 8))}, "number": number})


def _read_checkpoint(folder: Path) -> object:
    from sec_rl.agents.checkpoint import load_state

    return load_state(folder)


def _make_traces(folder: Path) -> None:
    from sec_rl.agents.shipped import shipped_traces
    from sec_rl.agents.traces import read_traces

    table = read_traces(shipped_traces())
    rows = table[table["episode"] == table["episode"].iloc[0]]
    rows.to_parquet(folder / "one.parquet", index=False, write_page_checksum=True)


def _read_traces(folder: Path) -> object:
    from sec_rl.agents.traces import read_traces

    return read_traces(folder)


def _rows(n: int, offset: int) -> pd.DataFrame:
    words = ("good", "bad", "fine", "dull")
    texts = [f"a {words[(i + offset) % 4]} film number {i + offset}" for i in range(n)]
    return pd.DataFrame({"text": texts, "label": [("up", "down")[(i + offset) % 2] for i in range(n)]})


def _make_csv(folder: Path) -> None:
    for offset, split in enumerate(("train", "validation", "test")):
        _rows(48, 100 * offset).to_csv(folder / f"{split}.csv", index=False)


def _make_jsonl(folder: Path) -> None:
    for offset, split in enumerate(("train", "validation", "test")):
        rows = _rows(48, 100 * offset).to_dict("records")
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "info.json").write_text(json.dumps({"labels": ["down", "up"]}))


def _make_parquet(folder: Path) -> None:
    _rows(160, 0).to_parquet(folder / "train.parquet", index=False)


def _read_task(folder: Path) -> object:
    from sec_rl.tasks import load_task

    return load_task(str(folder))


def _make_config(folder: Path) -> None:
    from sec_rl.config import RunConfig
    from sec_rl.run_folder import write_config

    write_config(folder, RunConfig(task="sms-spam").model_dump() | {"resolved": {"passes": 640}})


def _make_yaml_config(folder: Path) -> None:
    text = """task: sms-spam
passes: 640
levers: &levers {augmentation_share: 0.1}
tasks:
  questions: &long {passes: 3200, levers: {<<: *levers, depth_share: 0.2}}
  sms-spam: *long
"""
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def _read_config(folder: Path) -> object:
    """Read it through the command line, which turns refused settings into one line and exit code 2."""
    (path,) = folder.glob("config.*")
    code, said = spoken(["run", "--config", str(path), "--print-config"])
    if code == 0:
        return said
    if code != 2 or said.count("\n") != 1:
        raise RuntimeError(f"exit {code}: {said[:300]}")
    raise InputError(said.strip())


def spoken(words: list[str]) -> tuple[object, str]:
    """Run `sec-rl` in this process; return its exit code and what it wrote to standard error."""
    from sec_rl.cli import main

    said, before = io.StringIO(), sys.argv
    sys.argv = ["sec-rl", *words]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main()
        return 0, said.getvalue()
    except SystemExit as stopped:
        return stopped.code, said.getvalue()
    finally:
        sys.argv = before


def _make_run(folder: Path) -> None:
    from sec_rl.files import append_line
    from sec_rl.run_folder import TRAJECTORY, write_result

    _make_config(folder)
    latency = {f"batch{n}": {"p50": 1.0 * n, "p95": 1.5 * n} for n in (1, 32)}
    figures = {
        "test_accuracy": 0.85,
        "validation_accuracy": 0.86,
        "perplexity": None,
        "label_fraction": 0.3,
        "example_passes": 9600,
        "train_seconds": 100.0,
        "parameters": 12_000_000,
        "size_bytes": 10_000_000,
        "latency_ms": latency,
    }
    left = {"heads": [12, 3], "ffn": [1536, 400], "dense_heads": 12, "dense_ffn": 1536}
    for segment in range(4):
        metrics = {"data_ratio": 0.3, "compression_ratio": 0.1 * segment, "validation_accuracy": 0.5 + 0.1 * segment}
        metrics |= {"size_ratio": 0.2, "latency_ratio": 0.9}
        append_line(folder / TRAJECTORY, {"segment": segment, "metrics": metrics, "structure": left})
    clock = {"threads": 1, "sequence_length": 32, "rounds": 7, "max_rounds": 14, "spread": {"artefact": 0.05}}
    about = {"source": "measured", "task": "a task", "encoder": "an encoder", "schedule": "cubic", "seed": 0}
    about |= {"machine": {"cpu": "a processor", "threads": 1}, "notes": ["a note"], "latency_settings": clock}
    write_result(folder, figures | about | {"dense": figures})


def _read_run(folder: Path) -> object:
    from sec_rl.cli.printing import print_comparison
    from sec_rl.report.record import read_run

    record = read_run(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        print_comparison({"a run": record.result})
    return record


def _read_interrupted(folder: Path) -> object:
    from sec_rl.agents.run_state import check_config
    from sec_rl.config import RunConfig

    return check_config(folder, RunConfig(task="sms-spam"))


def _make_model(folder: Path) -> None:
    from benchmarks.faults.tiny_model import write_tiny_model

    write_tiny_model(folder)


def _read_model(folder: Path) -> object:
    from sec_rl.classifier import Classifier

    return Classifier(folder, threads=1).predict(["a good film"])


KINDS: dict[str, Kind] = {
    "policy": Kind(_make_policy, _read_policy),
    "simulator": Kind(_make_simulator, _read_simulator),
    "checkpoint": Kind(_make_checkpoint, _read_checkpoint),
    "traces": Kind(_make_traces, _read_traces),
    "task, csv": Kind(_make_csv, _read_task),
    "task, jsonl": Kind(_make_jsonl, _read_task),
    "task, parquet": Kind(_make_parquet, _read_task),
    "configuration": Kind(_make_config, _read_config),
    "configuration, YAML": Kind(_make_yaml_config, _read_config),
    "finished run": Kind(_make_run, _read_run),
    "interrupted run": Kind(_make_config, _read_interrupted),
    "model": Kind(_make_model, _read_model),
}

# Binary files that are fuzzed by coverage: name -> (kind of folder, pattern; of several files the last one is meant).
BINARY: dict[str, tuple[str, str]] = {
    "policy": ("policy", "*.safetensors"),
    "simulator": ("simulator", "*.safetensors"),
    "checkpoint, resealed": ("checkpoint", "*.safetensors"),
    "traces": ("traces", "*.parquet"),
    "task, parquet": ("task, parquet", "*.parquet"),
    "model, ONNX": ("model", "*.onnx"),
}
