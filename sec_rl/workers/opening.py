"""Which workers a command uses."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from sec_rl.errors import InputError, MissingDependencyError
from sec_rl.workers.hosts import Hosts


@dataclass(frozen=True)
class Crew:
    """Workers to be.

    Attributes:
        workers: at most as many at a time.
        threads: of the libraries in each; None: as in this process, and one processor of a cluster.
        ray_address: None: processes of this machine; otherwise of a Ray cluster, see `RayHosts`.

    Raises:
        InputError: there are to be no workers, or no threads.
        MissingDependencyError: there is an address, but Ray is not installed.
    """

    workers: int = 1
    threads: int | None = None
    ray_address: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        # Workers are often opened late, when much has been done for them.
        if self.ray_address is not None and importlib.util.find_spec("ray") is None:
            raise MissingDependencyError(
                "Ray is not installed; --ray-address needs it: pip install 'sec-rl[ray]'. "
                "Without an address, workers are processes of this machine."
            )

    def open(self) -> Hosts:
        """Return what starts them; the caller closes it.

        Raises:
            InputError: the cluster cannot be used.
        """
        if self.ray_address is None:
            from sec_rl.workers.processes import ProcessHosts

            return ProcessHosts(self.threads)
        from sec_rl.workers.ray_hosts import RayHosts

        return RayHosts(self.ray_address, workers=self.workers, threads=self.threads or 1)
