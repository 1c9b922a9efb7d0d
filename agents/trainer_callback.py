"""A policy inside somebody else's training: a callback for Hugging Face's Trainer."""

from __future__ import annotations

import copy
import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import IterableDataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from sec_rl.agents.controllers import Controller
from sec_rl.agents.episode import trajectory_line
from sec_rl.agents.latency_scale import rounds_each, scale_latency
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_policy
from sec_rl.agents.stepwise import StepwiseEpisode
from sec_rl.agents.trainer_setup import check_arguments, check_dense, check_optimizer, convert
from sec_rl.backends.pruning import cost_table
from sec_rl.backends.trainer import TrainerSession, read_rows
from sec_rl.compression.artefact import save_artefact, save_weights
from sec_rl.config import PruningConfig, RunConfig
from sec_rl.data.selection import SELECTIONS
from sec_rl.envs.drive import Step
from sec_rl.errors import InputError, unknown_name
from sec_rl.measurement.accuracy import Scores, classification_scores
from sec_rl.measurement.prediction import softmax
from sec_rl.measurement.ratio import QuietTimes
from sec_rl.values import Preference

LATENCY_ROUNDS: int = RunConfig.model_fields["latency_rounds"].default


def compute_metrics(prediction: Any) -> dict[str, float]:
    """Return `accuracy` and `macro_f1` of a Trainer's evaluation: what `SynergyCallback` reads.

    Args:
        prediction: a `transformers.EvalPrediction` with logits (n, classes) and labels (n,).
    """
    scores = classification_scores(softmax(prediction.predictions), prediction.label_ids)
    return {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}


class SynergyCallback(TrainerCallback):  # type: ignore[misc]
    """Prunes a Trainer's model, and chooses its training rows, as a policy says.

    The run's optimizer steps are cut into segments. At the end of each the Trainer evaluates, the policy reads what
    came out, and moves two ratios: heads and feed-forward neurons are physically removed (or come back), in place,
    with the optimizer's state sliced along; and the next rows are drawn from those that the data ratio allows.
    What a user of the callback should know:

    * When the Trainer is made, the model (BERT or MPNet, for sequence classification) becomes a `SlimEncoder` of the
      same weights, without dropout; and `eval_on_start` is set, since the policy looks at the untrained model first.
    * The Trainer needs an evaluation set, and a `compute_metrics` that gives `accuracy`: the one beside this class.
    * An epoch keeps its number of rows: where fewer are in use, they are drawn more often. The Trainer has one batch
      (with `dataloader_num_workers`, some more) in its hands already when the rows change.
    * Importance is read from gradients after the Trainer has clipped them: a Trainer shows them no sooner.
    * Nothing distils, augments or pseudo-labels here, unlike in `sec_rl.replay`: the loss and the texts are the
      Trainer's. The shipped policy learned with distillation, so accuracy may fall short of `sec_rl.replay`'s.
    * The vocabulary stays whole, since the rows are tokenised already.
    * One process on the CPU, no resuming, no `load_best_model_at_end`: the weights of two shapes do not fit.

    Args:
        policy: folder of a policy, `hub:OWNER/NAME`, or any controller; None: the shipped policy.
        target_speedup: dense fp32 latency over the int8 model's to reach at batch 32, at least 1; None: no target.
        target_size_ratio: bytes of the int8 file over those of the dense fp32 model, in (0, 1]; None: no target.
        max_accuracy_drop: points of accuracy, in [0, 100], that may be lost; None: no limit.
        n_segments: segments of the run, in [2, 200]; not more than it has optimizer steps.
        selection: how the next rows are chosen, a key of `sec_rl.data.selection.SELECTIONS`.
        metric_prefix: of the evaluation that counts, where there are several: `eval_NAME`.
        cost: what a structure costs: `latency` measured on this device, or counted `flops`.
        latency_sequence_length: tokens per text when latency is measured.
        out: folder that `export` writes when training ends; None: call it yourself.
        seed: of every draw.

    Raises:
        InputError: the Trainer or its data cannot be steered, or a target is out of reach; before the first step
            wherever that can be known.

    Examples:
        >>> from sec_rl import SynergyCallback
        >>> callback = SynergyCallback(target_speedup=8.0)  # callbacks=[callback] of a Trainer
        >>> callback.trajectory
        []
    """

    def __init__(
        self,
        policy: str | Path | Controller | None = None,
        *,
        target_speedup: float | None = None,
        target_size_ratio: float | None = None,
        max_accuracy_drop: float | None = None,
        n_segments: int = 16,
        selection: str = "margin",
        metric_prefix: str = "eval",
        cost: Literal["latency", "flops"] = "latency",
        latency_sequence_length: int = 32,
        out: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        if not 2 <= n_segments <= 200:
            raise InputError(f"n_segments is {n_segments}; it must lie in [2, 200].")
        if selection not in SELECTIONS:
            raise unknown_name("selection", selection, SELECTIONS)
        self._controller = policy if callable(policy) else load_policy(policy or shipped_policy())
        self._preference = Preference(
            target_speedup=target_speedup, target_size_ratio=target_size_ratio, max_accuracy_drop=max_accuracy_drop
        )
        self._n_segments, self._selection, self._prefix, self._seed = n_segments, selection, metric_prefix, seed
        self._cost, self._length = PruningConfig(cost=cost), latency_sequence_length
        self._out = None if out is None else Path(out)
        self._tokenizer: object = None
        self._dense: Path | None = None
        self._episode: StepwiseEpisode | None = None

    @property
    def steps(self) -> list[Step]:
        """What happened, one entry per segment, from segment 0 (nothing trained) on."""
        return [] if self._episode is None else self._episode.steps

    @property
    def trajectory(self) -> list[dict[str, Any]]:
        """The same as JSON-ready lines, as in a run folder's `trajectory.jsonl`."""
        return [trajectory_line(step) for step in self.steps]

    def export(self, folder: str | Path, tokenizer: PreTrainedTokenizerBase | None = None) -> Path:
        """Write the model as it stands: `model.onnx` (int8), PyTorch weights, tokenizer, labels.

        Args:
            folder: is created.
            tokenizer: None: the Trainer's `processing_class`.

        Returns:
            the folder.

        Raises:
            InputError: nothing has been trained, or there is no tokenizer.
        """
        found = self._tokenizer if tokenizer is None else tokenizer
        if self._episode is None or not self.steps:
            raise InputError("Nothing has been trained; export after trainer.train().")
        if not isinstance(found, PreTrainedTokenizerBase):
            raise InputError("An export needs the tokenizer; give it here, or as processing_class to the Trainer.")
        session = self._episode.session
        # The tokenizer is told how long texts may be; the user's own stays as it is.
        save_artefact(session.model, copy.deepcopy(found), Path(folder), max_length=int(session.rows.lengths.max()))
        return Path(folder)

    def on_init_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        **_: Any,
    ) -> None:
        """Take over the model, before an optimizer knows its parameters."""
        check_arguments(args)
        convert(model)
        args.eval_on_start = True

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        optimizer: Any,
        train_dataloader: Any,
        processing_class: Any = None,
        **_: Any,
    ) -> None:
        """Read the training rows, time the blocks of this encoder, and take over the drawing of rows."""
        check_dense(model, state.global_step)
        if self._n_segments > state.max_steps:
            raise InputError(f"n_segments is {self._n_segments}; the run has {state.max_steps} optimizer steps.")
        if not hasattr(train_dataloader, "set_sampler") or isinstance(train_dataloader.dataset, IterableDataset):
            raise InputError("SynergyCallback draws the rows itself; it needs a training set with an index.")
        rows, labels = read_rows(train_dataloader.dataset, model.config)
        session = TrainerSession(
            model,
            # Accelerate wraps it.
            getattr(optimizer, "optimizer", optimizer),
            rows,
            labels,
            cost_table(model, self._cost, torch.get_num_threads(), self._length),
            n_segments=self._n_segments,
            budget=state.max_steps * args.train_batch_size * args.gradient_accumulation_steps,
            batch_size=min(args.train_batch_size, len(rows)),
            selection=self._selection,
            seed=self._seed,
        )
        train_dataloader.set_sampler(session.sampler)
        self._tokenizer, self._dense = processing_class, None
        self._episode = StepwiseEpisode(
            session,
            self._controller,
            self._preference,
            scale=partial(self._scale, session),
            max_steps=state.max_steps,
            seed=self._seed,
        )

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Refuse to go on past the end of a segment that no evaluation closed."""
        episode = self._running()
        if state.global_step >= episode.due and not episode.done:
            raise InputError(f"No evaluation gave '{self._prefix}_loss' after step {state.global_step}.")

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Score heads and neurons by the gradients of the step."""
        self._running().session.saw_gradients()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look at what the optimizer keeps, once there is something."""
        if state.global_step == 0:
            check_optimizer(self._running().session.pruning.optimizer)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for an evaluation where a segment ends."""
        episode = self._running()
        if state.global_step == episode.due:
            episode.segment_ended()
            control.should_evaluate = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Close the segment that ended, and begin the next one."""
        episode = self._episode
        # Other evaluations are the user's: before or after training, between segments, of another data set.
        if episode is None or episode.done or state.global_step != episode.due:
            return
        if f"{self._prefix}_loss" not in metrics:
            return
        scores = self._scores(metrics)
        if episode.steps:
            episode.settle(scores)
        else:
            episode.open(scores)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Export, where a folder was given."""
        if self._out is not None:
            self.export(self._out)

    def _running(self) -> StepwiseEpisode:
        if self._episode is None:
            raise InputError(
                "Give SynergyCallback in Trainer(callbacks=[...]): it takes over before training begins."
            )
        return self._episode

    def _scores(self, metrics: Mapping[str, float]) -> Scores:
        name = f"{self._prefix}_accuracy"
        if name not in metrics:
            raise InputError(
                f"The evaluation gave no {name!r} but {', '.join(sorted(metrics))}; the Trainer needs a "
                "compute_metrics that gives 'accuracy', such as sec_rl.agents.trainer_callback.compute_metrics."
            )
        # The controller does not read it.
        macro_f1 = metrics.get(f"{self._prefix}_macro_f1", math.nan)
        return Scores(metrics[name], macro_f1, metrics[f"{self._prefix}_loss"])

    def _scale(self, session: TrainerSession, **how: Any) -> QuietTimes:
        """Time what the dense model takes in both formats; its weights are written to disk the first time."""
        if self._dense is None:
            folder = Path(tempfile.mkdtemp(prefix="sec-rl-dense-"))
            # The model is asked for before anything has been removed of it, and is small by the next time.
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            save_weights(session.model, folder)
            self._dense = folder
        return scale_latency(
            session,
            str(self._dense),
            threads=torch.get_num_threads(),
            length=self._length,
            rounds=rounds_each(LATENCY_ROUNDS),
            **how,
        )
