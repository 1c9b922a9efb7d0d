"""sec-rl: one synergy controller over the data ratio and the compression ratio of a BERT fine-tuning run."""

from __future__ import annotations

from types import ModuleType

import wrapt

__version__ = "0.1.0"
__all__ = ["__version__"]


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
