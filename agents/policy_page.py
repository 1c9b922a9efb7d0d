"""The `README.md` of a policy on the hub: what it controls, how it was learned, how well it did in simulation."""

from __future__ import annotations

import json

from huggingface_hub import ModelCardData

from sec_rl.agents.policy import Policy
from sec_rl.envs.action import action_names
from sec_rl.envs.observation import OBSERVATION_NAMES


def policy_page(policy: Policy, name: str, licence: str) -> str:
    """Return the page as Markdown with the hub's metadata in front.

    Args:
        policy: what it is about.
        name: `OWNER/NAME` on the hub.
        licence: the hub's identifier, such as `apache-2.0`.
    """
    data = ModelCardData(
        license=licence,
        library_name="sec-rl",
        pipeline_tag="reinforcement-learning",
        tags=["reinforcement-learning", "sec-rl", "model-compression", "active-learning"],
        metrics=["mean_return"],
        model_name=name.rpartition("/")[2],
    )
    actions = ", ".join(action_names(policy.action_mode))
    return f"""---
{data.to_yaml()}
---

# A controller for sec-rl

It reads {len(OBSERVATION_NAMES)} numbers about a fine-tuning run after each segment and moves two ratios: the share
of the labels in use and the share of the encoder that is removed. Actions: {actions}.

```bash
sec-rl replay --policy hub:{name} --task movie-reviews --out runs/first
```

Two plain files, JSON and safetensors; sizes, layout and checksum are checked and nothing is executed on loading.

## Scores

In the simulator, not in real training:

```json
{json.dumps(dict(policy.scores), indent=1)}
```

## How it was learned

```json
{json.dumps(dict(policy.provenance), indent=1)}
```
"""
