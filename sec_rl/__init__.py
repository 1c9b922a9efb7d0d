"""sec-rl: one synergy controller over the data ratio and the compression ratio of a BERT fine-tuning run.

What the commands do, from Python: `replay`, `run`, `compare`, `measure`, `collect`, `calibrate`, `train`,
`load_task`, `Classifier`. They are imported when they are first used, so that `import sec_rl` stays light.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from sec_rl.agents.calibrate import calibrate
    from sec_rl.agents.collect import collect
    from sec_rl.agents.learn import learn as train
    from sec_rl.agents.measure import measure
    from sec_rl.agents.replay import replay
    from sec_rl.agents.run import run
    from sec_rl.agents.trainer_callback import SynergyCallback
    from sec_rl.classifier import Classifier
    from sec_rl.config import RunConfig
    from sec_rl.report.compare import compare
    from sec_rl.tasks import load_task
    from sec_rl.values import Levers, Preference

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "Levers",
    "Preference",
    "RunConfig",
    "SynergyCallback",
    "__version__",
    "calibrate",
    "collect",
    "compare",
    "load_task",
    "measure",
    "replay",
    "run",
    "train",
]

# Name here -> module and name there.
_LAZY = {
    "Classifier": ("sec_rl.classifier", "Classifier"),
    "Levers": ("sec_rl.values", "Levers"),
    "Preference": ("sec_rl.values", "Preference"),
    "RunConfig": ("sec_rl.config", "RunConfig"),
    "SynergyCallback": ("sec_rl.agents.trainer_callback", "SynergyCallback"),
    "calibrate": ("sec_rl.agents.calibrate", "calibrate"),
    "collect": ("sec_rl.agents.collect", "collect"),
    "compare": ("sec_rl.report.compare", "compare"),
    "load_task": ("sec_rl.tasks", "load_task"),
    "measure": ("sec_rl.agents.measure", "measure"),
    "replay": ("sec_rl.agents.replay", "replay"),
    "run": ("sec_rl.agents.run", "run"),
    "train": ("sec_rl.agents.learn", "learn"),
}


def __getattr__(name: str) -> Any:
    """Import a part of the Python interface when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_slim_encoder(_module: object) -> None:
    # Importing transformers here would make `import sec_rl` slow; so it is told of the slim encoder when, and only
    # when, somebody loads the Auto classes.
    from sec_rl.compression.registration import register

    register()


@wrapt.when_imported("gymnasium")
def _register_environment(module: ModuleType) -> None:
    # The same for Gymnasium: it learns of the environment when somebody imports it, before or after this package.
    module.register(id="sec_rl/Synergy-v0", entry_point="sec_rl.agents.gym_entry:make_synergy")
