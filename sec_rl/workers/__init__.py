"""Work on many workers: objects that live there, jobs and lanes that outlive them.

`hosts` is the seam, `processes` and `ray_hosts` are the two things behind it, `jobs` is the task pool over it.
"""

from __future__ import annotations

from sec_rl.workers.hosts import Hosts, WorkerLostError
from sec_rl.workers.jobs import Job, run_jobs
from sec_rl.workers.opening import Crew

__all__ = ["Crew", "Hosts", "Job", "WorkerLostError", "run_jobs"]
