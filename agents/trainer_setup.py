"""What a Hugging Face Trainer must be like for a policy to steer it, and its model as a slim encoder."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, TrainingArguments

from sec_rl.compression.in_place import become_slim
from sec_rl.compression.loading import slim_from_stock
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.errors import InputError
from sec_rl.training.optimizer import STEP


def check_arguments(arguments: TrainingArguments) -> None:
    """Refuse what cannot work, before anything is trained.

    Raises:
        InputError: names the argument and what to set.
    """
    if arguments.device.type != "cpu" or arguments.world_size > 1:
        raise InputError(
            f"SynergyCallback trains in one process on the CPU; this Trainer has {arguments.world_size} on "
            f"{arguments.device.type!r}: set use_cpu=True."
        )
    for name in ("load_best_model_at_end", "torch_compile", "gradient_checkpointing", "auto_find_batch_size"):
        if getattr(arguments, name):
            raise InputError(f"{name}=True does not go with SynergyCallback, which changes the model's shape.")


def convert(model: PreTrainedModel) -> None:
    """Turn a classifier into a dense slim encoder of the same weights, in place; a slim one stays as it is.

    Raises:
        InputError: it is no single-label classifier, some weights are frozen, or no adapter knows its architecture.
    """
    if isinstance(model, SlimEncoderForSequenceClassification):
        return
    config = model.config
    name = type(model).__name__
    if not name.endswith("ForSequenceClassification"):
        raise InputError(f"SynergyCallback takes a model for sequence classification, not a {name}.")
    if config.problem_type not in (None, "single_label_classification") or config.num_labels < 2:
        raise InputError(
            f"SynergyCallback takes a classifier with one of at least 2 classes per text; this {name} has "
            f"problem_type {config.problem_type!r} and {config.num_labels} labels."
        )
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    if frozen:
        raise InputError(f"{frozen[0]!r} is frozen; its importance cannot be read from gradients: unfreeze it.")
    names = [config.id2label[index] for index in range(config.num_labels)]
    become_slim(model, slim_from_stock(model, name, names, seed=0))


def check_dense(model: PreTrainedModel, trained_steps: int) -> None:
    """Check, when training begins, that the model is the one that was converted, still whole.

    Raises:
        InputError: it is another one, it has been pruned, or training is resumed.
    """
    if not isinstance(model, SlimEncoderForSequenceClassification):
        raise InputError(
            "Give SynergyCallback in Trainer(model=..., callbacks=[...]), with a model and not a model_init: "
            "it takes over the model before the optimizer is made."
        )
    if trained_steps or model.config.kept_heads is not None:
        raise InputError("A run with SynergyCallback cannot be resumed or repeated: start anew with a dense model.")


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check, after its first step, that what an optimizer keeps can be sliced along with the parameters.

    Raises:
        InputError: it keeps something of another shape.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if key != STEP and value is not None and getattr(value, "shape", None) != parameter.shape:
                raise InputError(
                    f"{type(optimizer).__name__} keeps {key!r} in another shape than its parameter's and cannot "
                    "be pruned along; take AdamW, Adam, SGD or another one that keeps whole moments."
                )
