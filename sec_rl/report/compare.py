"""Finished runs side by side, from their folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sec_rl.files import write_atomically
from sec_rl.report.differences import check_comparable
from sec_rl.run_folder import read_result


def compare(runs: Iterable[str | Path], out: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Read finished runs that may stand in one table, and write the page that compares them.

    `pandas.json_normalize(list(sec_rl.compare(runs).values()))` makes a table of everything that was measured.

    Args:
        runs: run folders.
        out: HTML page to write: the table, what is no difference, the Pareto fronts, how the runs went; None: none.

    Returns:
        run folder to what its `result.json` holds.

    Raises:
        InputError: there is no run, or measured and simulated runs are mixed.
        RunFolderError: a folder holds no finished run.

    Examples:
        >>> from sec_rl import compare
        >>> results = compare(["RUN"], out="comparison.html")
        >>> list(results), 0.0 <= results["RUN"]["test_accuracy"] <= 1.0
        (['RUN'], True)
    """
    folders = [Path(run) for run in runs]
    results = {str(folder): read_result(folder) for folder in folders}
    check_comparable(results)
    if out is not None:
        from sec_rl.report.comparison_page import comparison_page
        from sec_rl.report.record import read_run

        segments = {str(folder): read_run(folder).segments for folder in folders}
        write_atomically(Path(out), comparison_page(results, segments))
    return results
