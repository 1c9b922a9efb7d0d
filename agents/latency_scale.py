"""How the latency table's blocks add up to whole models, and what the int8 format alone gives: by the clock."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sec_rl.backends.encoder_session import EncoderSession
from sec_rl.compression.export import build_onnx
from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies
from sec_rl.measurement.ratio import QuietTimes

# Far enough from dense to tell blocks from what is fixed.
_LEAST_PROBED = 0.3
_BATCH = 32
# Many short turns follow a machine whose speed changes better than a few long ones.
_TURN_SECONDS, _WARMUP, _LEAST_CALLS = 0.25, 2, 6


def rounds_each(latency_rounds: int) -> int:
    """Return the turns of each model in one of a run's timings: there are three, where its closing has one."""
    return max(1, round(0.7 * latency_rounds))


def scale_latency(
    session: EncoderSession,
    source: str,
    *,
    threads: int,
    length: int,
    rounds: int,
    ratio: float,
    known: QuietTimes | None = None,
    fp32_again: bool = False,
) -> QuietTimes:
    """Fit the session's table to two whole int8 models, and return what the dense model takes in fp32 and in int8.

    Blocks are timed one by one; a whole model adds its embeddings, its head and the passage from block to block.
    Those are fitted as `fixed + scale x blocks` to the dense model and to one with a part of it removed, timed in
    turn with the dense fp32 model in eager PyTorch. Only the ratio of the two int8 models counts: a machine that
    slows down changes it less than the times. It slows fp32 less than int8, and some models less than others, so the
    ratio is that of its quiet moments, as is what is returned.

    The fp32 model takes three quarters of the time that all this needs, so where it is known it may be left out. Once
    is not enough, though: it may have met a phase in which the machine had no quiet moment, and takes twice as long.
    Without it the dense int8 model's time is no news: it may be of another phase than the fp32 model's that is known.

    Args:
        session: its structure stays as it is.
        source: folder or hub id of the dense fp32 encoder.
        threads: of torch and onnxruntime.
        length: tokens per text.
        rounds: turns of each model.
        ratio: compression ratio of the second model; at least 0.3 is removed of it.
        known: what was returned before; None: the fp32 model is timed, too.
        fp32_again: it is timed although it is known.

    Returns:
        of batches of 32; what was found now together with what is known already, which it is where fp32 was left out.
    """
    shapes = {"dense": session.pruning.dense_shape, "probe": session.pruning.shape_at(max(ratio, _LEAST_PROBED))}
    with tempfile.TemporaryDirectory(prefix="sec-rl-scale-") as folder:
        fp32 = LatencyTarget("fp32", "torch", source, session.model.config.num_labels)
        pair = []
        for name, shape in shapes.items():
            path = Path(folder) / f"{name}.onnx"
            model = session.pruning.preview(session.model, shape)
            path.write_bytes(build_onnx(model, quantized=True).SerializeToString())
            pair.append(LatencyTarget(name, "onnx", str(path), vocabulary=model.config.vocab_size))
        settings = LatencySettings(
            batch_sizes=(_BATCH,),
            threads=threads,
            sequence_length=length,
            rounds=rounds,
            max_rounds=rounds,
            block_seconds=_TURN_SECONDS,
            warmup=_WARMUP,
            least_calls=_LEAST_CALLS,
        )

        settled = None if fp32_again else known
        targets = [fp32, *pair] if settled is None else pair
        stats = {name: by_batch[_BATCH] for name, by_batch in measure_latencies(targets, settings).items()}
        quiet = {name: each.p05_ms for name, each in stats.items()}
        dense_ms = stats["dense"].p50_ms
        session.pruning.fit_table(dense_ms, shapes["probe"], dense_ms * quiet["probe"] / quiet["dense"])
        if settled is not None:
            return settled
        found = QuietTimes(quiet["fp32"], quiet["dense"])
        return found if known is None else found.with_another(known)
