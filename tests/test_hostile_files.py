"""What strangers give: nothing in it is executed, nothing beside it is read, nothing but our own errors comes out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.fuzz import fuzz
from benchmarks.faults.payloads import PAYLOADS, judge_payload, place_payload
from benchmarks.faults.samples import KINDS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_is_executed_and_nothing_outside_is_read(name: str, tmp_path: Path) -> None:
    assert judge_payload(name, tmp_path) is None


def test_the_payloads_are_live(tmp_path: Path) -> None:
    """Loaded as other programs load it, the same pickle does run: the canary can die."""
    import pickle

    place = place_payload("policy: a pickle as tensors", tmp_path)
    assert not place.canary.exists()
    pickle.loads((place.folder / "policy.safetensors").read_bytes())
    assert place.canary.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_only_our_own_errors_come_out(kind: str) -> None:
    counts = fuzz(kind, 8 if kind == "task, parquet" else 40)
    assert counts.foreign == []
    assert counts.inputs == counts.refused + counts.read
    # Half of all spoilt folders are noticed at the least; a checkpoint has another state to go back to.
    assert counts.read if kind == "checkpoint" else counts.refused > counts.inputs / 4
    assert counts.peak_growth_bytes < 300_000_000


def test_the_yaml_payloads_are_live(tmp_path: Path) -> None:
    """Loaded as other programs load it, the tag does call."""
    import yaml

    place = place_payload("configuration: a tag that calls", tmp_path)
    yaml.unsafe_load((place.folder / "config.yaml").read_text())
    assert place.canary.exists()


def test_no_source_reads_what_could_run() -> None:
    forbidden = re.compile(r"\b(pickle|joblib|dill|marshal|shelve)\b|torch\.load\(|yaml\.load\(|allow_pickle=True")
    for folder in ("sec_rl", "agents", "envs"):
        for path in (ROOT / folder).rglob("*.py"):
            lines = path.read_text().splitlines()
            code = [
                line for line in lines if not line.lstrip().startswith(("#", '"')) and "without pickle" not in line
            ]
            # Workers are processes of the same program: what goes between them, over a pair of sockets, is no file.
            if path.parent.name != "workers":
                assert not [line for line in code if re.match(r"\s*(import|from)\s", line) and forbidden.search(line)]
            assert not [
                line
                for line in code
                if re.search(r"torch\.load\(|yaml\.\w*load|allow_pickle=True|trust_remote_code=True", line)
            ]


def test_guided_fuzzing_finds_only_errors_of_ours() -> None:
    pytest.importorskip("atheris")
    for name in ("policy", "checkpoint, resealed"):
        words = [sys.executable, "-m", "benchmarks.faults.guided", name, "60", "0"]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(ended.stdout.splitlines()[-1])
        assert (found["inputs"], found["foreign"]) == (60, [])
