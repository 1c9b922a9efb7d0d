"""Several processes that train one model: each computes a part of every batch, and gradients are added up.

Synchronous data parallelism (Goyal et al. 2017, sec. 3): every process holds the whole run and takes the same
decisions, for all that they rest on is the same: gradients and scores are sums over processes, and what one of them
measures is told to the others. Processes meet through Accelerate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sec_rl.errors import SecRlError
from sec_rl.launched import launched

T = TypeVar("T")


class ReplicaLostError(SecRlError):
    """A process that trained the same model is gone."""


@dataclass(frozen=True)
class Replicas:
    """This process among those that train one model. Alone, nothing is sent and nothing changes.

    Leaving a ``with`` block ends the group: by an exception at once, so that nobody waits for a process that has
    given up; else when all have come so far, for a connection that ends with its process may take the other along.

    Attributes:
        index: of this process, from 0; the first one writes.
        count: of all.
        here: of those on this machine, which share its cores.
        ends: whether the group was made for this object, which then ends it.
    """

    index: int = 0
    count: int = 1
    here: int = 1
    ends: bool = False

    @classmethod
    def meet(cls) -> Replicas:
        """Return this process's place after all that were launched with it have met.

        Raises:
            InputError: the launcher's variables make no sense.
            ReplicaLostError: one did not come.
        """
        place = launched()
        ends = place.count > 1 and not torch.distributed.is_initialized()
        if place.count > 1:
            from accelerate import PartialState

            with _losing():
                PartialState(cpu=True)
        return cls(place.index, place.count, place.here, ends)

    def __enter__(self) -> Replicas:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ends:
            return
        from accelerate import PartialState

        if kind is None:
            with _losing():
                PartialState().wait_for_everyone()
        PartialState().destroy_process_group()
        # The next run of these processes meets anew.
        PartialState._reset_state()

    @property
    def first(self) -> bool:
        """Whether this process writes, measures and speaks."""
        return self.index == 0

    def part(self, n_rows: int, index: int | None = None) -> tuple[NDArray[np.int64], float]:
        """Return which rows of a batch a process computes, and the share of the batch that they are.

        A batch may have fewer rows than there are processes. One without a row of its own computes the first row,
        at no weight, so that it takes the same steps as all others.

        Args:
            n_rows: of the batch, 1 or more.
            index: of the process; None: of this one.
        """
        rows = np.arange(n_rows)[self.index if index is None else index :: self.count]
        return (rows, len(rows) / n_rows) if len(rows) else (np.zeros(1, np.int64), 0.0)

    def total(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        return value if self.count == 1 else float(self._sum(torch.tensor(value, dtype=torch.float64)))

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; all of them hold the same parameters."""
        if self.count > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            vector_to_parameters(self._sum(parameters_to_vector(gradients)), gradients)

    def add_arrays(self, *arrays: NDArray[np.float32]) -> None:
        """Replace arrays, in place, by their sums over all processes."""
        if self.count > 1:
            for array in arrays:
                array[...] = self._sum(torch.from_numpy(array)).numpy()

    def broadcast(self, value: T | None) -> T:
        """Return what the first process gives; what others give is not looked at."""
        box: list[Any] = [value]
        if self.count > 1:
            from accelerate.utils import broadcast_object_list

            with _losing():
                broadcast_object_list(box)
        found: T = box[0]
        return found

    def from_first(self, compute: Callable[[], T]) -> T:
        """Let the first process compute something, such as a measurement, and return it in all."""
        return self.broadcast(compute() if self.first else None)

    def _sum(self, values: Tensor) -> Tensor:
        from accelerate.utils import reduce

        with _losing():
            found: Tensor = reduce(values, reduction="sum")
        return found


ALONE = Replicas()


@contextmanager
def _losing() -> Iterator[None]:
    """Turn what the transport says about a lost connection into one line."""
    try:
        yield
    except RuntimeError as error:
        raise ReplicaLostError("Another process of this run is gone, or cannot be reached.") from error
