"""A bar below the lines that a person reads, with the time that is left; on a terminal only."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

# Training has every core; a bar that moves twice a second costs it nothing.
_REFRESHES_PER_SECOND = 2.0


class Bar:
    """One bar, from the first report to the last; neither a file, a pipe nor a quiet command shows one.

    Args:
        console: what the lines are printed on.
        level: what the bar is of, such as `training`.
        unit: what is counted, in the plural.
    """

    def __init__(self, console: Console, level: str, unit: str) -> None:
        # Some environments call a pipe a terminal for the sake of colours.
        self._shown = console.is_interactive and sys.stdout.isatty() and not console.quiet
        self._console, self._level, self._unit = console, level, unit
        self._progress: Progress | None = None

    def show(self, done: int, total: int, seconds_left: float | None) -> None:
        """Move the bar; at its end it is gone, for what comes then may be timed.

        Args:
            done: how many of `total`, at least 0.
            total: at least 1.
            seconds_left: to the end, as estimated now; None: nothing is known yet.
        """
        if not self._shown:
            return
        if done >= total:
            self.hide()
            return
        if self._progress is None:
            self._progress = self._started(total)
        ends = None if seconds_left is None else time.monotonic() + seconds_left
        self._progress.update(self._progress.task_ids[0], completed=done, ends=ends, refresh=True)

    def hide(self) -> None:
        """Take the bar away and give the cursor back; the lines stay."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _started(self, total: int) -> Progress:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(max_width=40)),
            TextColumn("{task.completed:,}/{task.total:,} " + self._unit),
            _TimeLeft(table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
            refresh_per_second=_REFRESHES_PER_SECOND,
            # What goes to a file still goes there.
            redirect_stderr=sys.stderr.isatty(),
        )
        progress.add_task(self._level, total=total, ends=None)
        progress.start()
        return progress


class _TimeLeft(ProgressColumn):
    """Counts down from the last estimate: between two reports of a long job minutes pass."""

    def render(self, task: Task) -> Text:
        """Return the hours, minutes and seconds that are left."""
        ends = task.fields["ends"]
        if ends is None:
            return Text("-:--:-- left", style="progress.remaining")
        left = timedelta(seconds=max(0, round(ends - time.monotonic())))
        return Text(f"{left} left", style="progress.remaining")
