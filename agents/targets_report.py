"""Which targets a finished run met, by what was measured of its artefact."""

from __future__ import annotations

from typing import Any

from sec_rl.envs.session import OpenedSession
from sec_rl.envs.targets import misses
from sec_rl.errors import InputError
from sec_rl.values import Preference

# The table predicts, the clock decides: aiming this much beyond a speed-up meets it in spite of the table's error,
# and of a short timing of fp32, to which everything is compared: it is some hundredths off either way.
SPEEDUP_MARGIN = 1.07
# Forecasts count weights; the graph around them adds some kilobytes to the file, which decides.
SIZE_MARGIN = 0.99
# Two ratios of latencies that differ by less say the same.
_SAME = 0.1


def aimed(preference: Preference) -> Preference:
    """Return the preference that a run steers by: speed and size a little beyond what was asked for."""
    values = dict(vars(preference))
    if preference.target_speedup is not None:
        values["target_speedup"] = min(preference.target_speedup * SPEEDUP_MARGIN, 1000.0)
    if preference.target_size_ratio is not None:
        values["target_size_ratio"] = preference.target_size_ratio * SIZE_MARGIN
    return Preference(**values)


def check_reach(opened: OpenedSession, preference: Preference, compression_max: float) -> None:
    """Refuse targets that even the highest compression ratio would miss, before anything is trained.

    Raises:
        InputError: names each such target and the closest value there is.
    """
    closest = misses(opened.session.forecast(compression_max), preference, opened.format_speedup)
    said = []
    if "target_speedup" in closest:
        said.append(f"a speed-up of {preference.target_speedup:g} (the closest is {closest['target_speedup']:.1f})")
    if "target_size_ratio" in closest:
        said.append(
            f"a size ratio of {preference.target_size_ratio:g} (the closest is {closest['target_size_ratio']:.3f})"
        )
    if said:
        raise InputError(f"Out of reach for this encoder on this machine: {', and '.join(said)}.")


def targets_report(
    preference: Preference, result: dict[str, Any], *, accuracy: float, reference_accuracy: float | None
) -> list[dict[str, Any]]:
    """Return one line per target: what was asked, what was reached, whether it is met.

    A speed-up is the machine's in its quiet moments (`sec_rl.measurement.ratio.QuietTimes`), as it was steered by.

    Args:
        preference: as the user gave it.
        result: sizes and latencies of artefact and dense model, as in `result.json`.
        accuracy: validation accuracy of the run's model, in [0, 1].
        reference_accuracy: of the dense model on the same rows; None: the run had none.
    """
    lines: list[dict[str, Any]] = []
    dense = result["dense"]
    if preference.target_speedup is not None:
        reached = speedup_at(result, "p05")
        lines.append(
            _line("target_speedup", preference.target_speedup, reached, reached >= preference.target_speedup)
        )
    if preference.target_size_ratio is not None:
        reached = result["size_bytes"] / dense["size_bytes"]
        met = reached <= preference.target_size_ratio
        lines.append(_line("target_size_ratio", preference.target_size_ratio, reached, met))
    if preference.max_accuracy_drop is not None:
        drop = None if reference_accuracy is None else 100.0 * (reference_accuracy - accuracy)
        met = drop is None or drop <= preference.max_accuracy_drop
        lines.append(_line("max_accuracy_drop", preference.max_accuracy_drop, drop, met))
    return lines


def quiet_notes(preference: Preference, result: dict[str, Any]) -> list[str]:
    """Say so where a speed-up is asked for and the medians give another one than the machine's quiet moments."""
    if preference.target_speedup is None:
        return []
    quiet, median = (speedup_at(result, quantile) for quantile in ("p05", "p50"))
    if abs(median / quiet - 1.0) <= _SAME:
        return []
    return [
        f"Something else kept the machine busy while the model was timed: it is {quiet:.1f} times faster than dense "
        f"fp32 in quiet moments, and {median:.1f} times by the medians."
    ]


def speedup_at(result: dict[str, Any], quantile: str) -> float:
    """Return dense fp32 latency over the artefact's at batch 32, by a quantile such as `p05` of both."""
    dense, artefact = (result["latency_quantiles_ms"][side]["batch32"][quantile] for side in ("dense", "artefact"))
    return float(dense / artefact)


def _line(name: str, asked: float, reached: float | None, met: bool) -> dict[str, Any]:
    return {"target": name, "asked": asked, "reached": reached, "met": met}
