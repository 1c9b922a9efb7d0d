"""Recorded episodes of a known law, for tests of everything that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sec_rl.agents.controllers import RandomWalk
from sec_rl.agents.traces import COLUMNS
from sec_rl.backends.simulator.learning_curve import effort
from sec_rl.envs.action import Limits, apply_action
from sec_rl.values import Levers, Ratios

# Name, classes, accuracy of dense training.
FAMILIES = (("a", 2, 0.9), ("b", 6, 0.8), ("c", 3, 0.95), ("d", 20, 0.7), ("e", 4, 0.85))


def law(accuracy: float, ceiling: float, chance: float, data: float, compression: float, share: float) -> float:
    """Move by a share of effort to a level whose odds of error rise with compression and fall with labels."""
    skill = (ceiling - chance) / (1.0 - chance)
    odds = skill / (1.0 - skill) * np.exp(-4.0 * compression**3) * data**0.5
    level = chance + (1.0 - chance) * odds / (1.0 + odds)
    return float(accuracy + (1.0 - np.exp(-5.0 * share)) * (level - accuracy))


def made_up_traces(per_family: int = 8, seed: int = 0) -> pd.DataFrame:
    """Return episodes under walks of different drift, the first of each family dense."""
    generator = np.random.default_rng(seed)
    lines = []
    for family, n_classes, ceiling in FAMILIES:
        for index in range(per_family):
            dense = index == 0
            n_segments = int(generator.choice([6, 8, 10]))
            walk = RandomWalk()
            walk.reset(int(generator.integers(1000)))
            episode: dict[str, Any] = {
                "episode": f"{family}-{index}",
                "task": family,
                "family": family,
                "encoder": "made-up",
                "controller": "dense" if dense else "walk",
                "seed": index,
                "pool_size": 1000,
                "budget": 2000,
                "n_segments": n_segments,
                "n_classes": n_classes,
                "majority": 1.0 / n_classes,
                "batch_size": 16,
            }
            own = _episode(walk, n_segments, n_classes, ceiling, generator, dense=dense)
            final = own[-1]["validation_accuracy"]
            lines += [episode | {"final_accuracy": final, "final_loss": own[-1]["validation_loss"]} | x for x in own]
    return pd.DataFrame(lines)[list(COLUMNS)]


def write_traces(folder: Path, table: pd.DataFrame) -> Path:
    """Write a table where `calibrate` finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "episodes.parquet", index=False)
    return folder


def _episode(
    walk: RandomWalk,
    n_segments: int,
    n_classes: int,
    ceiling: float,
    generator: np.random.Generator,
    *,
    dense: bool,
) -> list[dict[str, Any]]:
    ratios, accuracy, labels = Ratios(0.2, 0.0), 1.0 / n_classes, 0.0
    lines = []
    for segment in range(n_segments + 1):
        action = np.full(2, np.nan, np.float32)
        if segment:
            action = walk(np.zeros(24, np.float32))
            ratios = Ratios(1.0, 0.0) if dense else apply_action(ratios, action, Limits())
            labels = max(labels, ratios.data)
            before, after = effort(np.array([segment - 1.0, segment]) / n_segments)
            accuracy = law(accuracy, ceiling, 1.0 / n_classes, ratios.data, ratios.compression, after - before)
        shown = float(np.clip(accuracy + 0.005 * generator.normal(), 0.0, 1.0))
        learned = (accuracy - 1.0 / n_classes) / (1.0 - 1.0 / n_classes)
        lines.append(
            {
                "segment": segment,
                "action_data": float(action[0]),
                "action_compression": float(action[1]),
                "target_data": ratios.data if segment else np.nan,
                "target_compression": ratios.compression if segment else np.nan,
                **vars(Levers()),
                "data_ratio": ratios.data if segment else 0.0,
                "compression_ratio": ratios.compression if segment else 0.0,
                "validation_accuracy": shown,
                "validation_macro_f1": shown,
                "validation_loss": float(np.log(n_classes) * (1.0 - 0.9 * learned)),
                "labels_bought": round(1000 * labels),
                "label_fraction": labels,
                "example_passes": round(2000 * segment / n_segments),
                "passes_fraction": segment / n_segments,
                "size_ratio": 0.16 - 0.1 * (ratios.compression if segment else 0.0),
                "latency_ratio": 1.0 - 0.95 * (ratios.compression if segment else 0.0),
                "seconds": float(segment),
                "rolled_back": False,
            }
        )
    return lines
