"""How the latency table's blocks add up to whole models, and what the int8 format alone gives: by the clock."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sec_rl.backends.encoder_session import EncoderSession
from sec_rl.compression.export import build_onnx
from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies

# Far enough from dense to tell blocks from what is fixed, near enough to what targets ask for.
_PROBED_RATIO = 0.6
_BATCH = 32


def scale_latency(session: EncoderSession, source: str, *, threads: int, length: int, rounds: int) -> float:
    """Fit the session's table to two whole int8 models, and return the speed-up of int8 over fp32.

    Blocks are timed one by one; a whole model adds its embeddings, its head and the passage from block to block.
    Those are fitted as `fixed + scale x blocks` to the dense model and to one with 60 % of it removed, timed in turn
    with the dense fp32 model in eager PyTorch.

    Args:
        session: nothing removed yet.
        source: folder or hub id of the dense fp32 encoder.
        threads: of torch and onnxruntime.
        length: tokens per text.
        rounds: turns of each model.

    Returns:
        dense fp32 latency over dense int8 latency at batch 32.
    """
    probe = session.pruning.shape_at(_PROBED_RATIO)
    models = {"dense": session.model, "probe": session.pruning.preview(session.model, probe)}
    with tempfile.TemporaryDirectory(prefix="sec-rl-scale-") as folder:
        targets = [LatencyTarget("fp32", "torch", source, session.model.config.num_labels)]
        for name, model in models.items():
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(build_onnx(model, quantized=True).SerializeToString())
            targets.append(LatencyTarget(name, "onnx", str(path), vocabulary=model.config.vocab_size))
        settings = LatencySettings(
            batch_sizes=(_BATCH,),
            threads=threads,
            sequence_length=length,
            rounds=rounds,
            max_rounds=2 * rounds,
        )
        times = {name: stats[_BATCH].p50_ms for name, stats in measure_latencies(targets, settings).items()}
    session.pruning.fit_table(times["dense"], probe, times["probe"])
    return times["fp32"] / times["dense"]
