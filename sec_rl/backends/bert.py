"""Real training: composes the levers into a session that a controller drives."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sec_rl.backends.encoder_session import EncoderSession
from sec_rl.backends.pruning import PruningState, cost_table
from sec_rl.compression.artefact import save_artefact
from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.loading import load_dense
from sec_rl.compression.sizes import dense_bytes
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vocabulary import needed_tokens, prune_embeddings, prune_tokenizer
from sec_rl.config import RunConfig
from sec_rl.data.semi_supervised import PseudoLabels, pseudo_labels
from sec_rl.data.transfer import layer_learning_rates
from sec_rl.data.wordnet import synonyms
from sec_rl.encoders import resolve_encoder
from sec_rl.errors import InputError
from sec_rl.measurement.accuracy import Scores, classification_scores
from sec_rl.measurement.machine import usable_cores
from sec_rl.measurement.prediction import predict_onnx
from sec_rl.tasks import LabelPool, Split, Task
from sec_rl.training.batching import BatchStream, TokenRows, tokenize
from sec_rl.training.divergence import Setbacks, TrainingDivergedError
from sec_rl.training.examples import ExampleSource
from sec_rl.training.fitted_head import MOST_ROWS, fit_head
from sec_rl.training.masked_language import MaskedLanguageModel, round_as_exported
from sec_rl.training.memory import release_memory
from sec_rl.training.optimizer import make_optimizer, set_rate
from sec_rl.training.precision import resolve_precision
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.training.schedule import rate_at
from sec_rl.training.teacher import Teacher
from sec_rl.training.trainer import predict, train_step
from sec_rl.values import Levers, Metrics, Ratios

# Validation inside the loop is bounded to this share of the training work.
VALIDATION_SHARE = 0.1
MIN_VALIDATION = 200
MIN_PASSES, MAX_PASSES, EPOCHS = 3_200, 24_000, 3


def budget_of(config: RunConfig, pool_size: int) -> int:
    """Return the budget of example passes: the configured one, or three epochs within bounds."""
    return config.passes or min(max(EPOCHS * pool_size, MIN_PASSES), MAX_PASSES)


def seen_rows(config: RunConfig, budget: int) -> int:
    """Return how many validation rows are scored after a segment, where there are as many."""
    affordable = int(VALIDATION_SHARE * 3 * budget / config.n_segments)
    return config.validation_rows or max(MIN_VALIDATION, affordable)


def encoder_of(config: RunConfig) -> str:
    """Return the name, folder or hub id of the weights that a run starts from."""
    return config.transfer.warm_start or config.encoder


def _check_lengths(config: RunConfig, most: int) -> None:
    """Raise InputError for a length that the encoder has no positions for."""
    for name in ("max_length", "latency_sequence_length"):
        length = getattr(config, name)
        if length > most:
            raise InputError(
                f"--{name.replace('_', '-')} is {length}; encoder {encoder_of(config)!r} reads {most} tokens at most."
            )


@dataclass
class BertSession(EncoderSession):
    """One controlled run of real fine-tuning; see `sec_rl.envs.session.Session` for the order of calls.

    Attributes:
        config: everything that was asked for.
        task: checked rows.
        table: time per block of this encoder on this device, where it is known; None: it is measured at opening.
        replicas: processes that train the model together.
    """

    config: RunConfig
    task: Task
    table: CostTable | None = None
    replicas: Replicas = ALONE
    preparing_seconds: float = 0.0
    validation_seconds: float = 0.0
    # Of this device's blocks, at opening.
    timing_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    setbacks: Setbacks = field(default_factory=Setbacks)

    @property
    def n_segments(self) -> int:
        """Segments of the whole run."""
        return self.config.n_segments

    def open(self) -> Metrics:
        """Load the encoder, cut the vocabulary, time this device's blocks, and score the untrained model.

        Raises:
            InputError: the encoder cannot be loaded, or reads shorter texts than are asked for.
        """
        # Of an earlier session in this process.
        release_memory()
        config = self.config
        if config.levers.edits:
            # Read before anything is trained: without their wheel nothing can be edited.
            synonyms()
        self.threads = config.threads or max(1, usable_cores() // self.replicas.here)
        torch.set_num_threads(self.threads)
        torch.manual_seed(config.seed)
        # It is measured, and processes of one run must not differ in it.
        self.precision = self.replicas.from_first(lambda: resolve_precision(config.precision))
        self.source = resolve_encoder(encoder_of(config))
        model, tokenizer = load_dense(self.source, self.task.label_names, config.seed)
        _check_lengths(config, model.config.max_position_embeddings)
        self.dense_bytes = dense_bytes(model)
        pool = self.task.train
        if config.prunes_vocabulary:
            kept = needed_tokens(tokenizer, pool.texts + (pool.pairs or ()), config.max_length)
            if kept is None:
                self.notes.append("The vocabulary is not WordPiece and was kept whole.")
            else:
                tokenizer = prune_tokenizer(tokenizer, kept)
                prune_embeddings(model, kept)
        model.config.pad_token_id = tokenizer.pad_token_id
        model.train()
        self.tokenizer, self.model, self._dense_config = tokenizer, model, model.config
        self._fits_head = config.transfer.head == "fitted" and model.has_drawn_head
        self.pool = LabelPool(pool)
        self.rows = self._tokenize(pool)
        self.budget = budget_of(config, len(pool))
        generator = np.random.default_rng([config.seed, 1])
        seen = generator.permutation(len(self.task.validation))[: seen_rows(config, self.budget)]
        self.validation = self.task.validation.take(np.sort(seen))
        self.validation_rows = self._tokenize(self.validation)
        lengths = self.rows.lengths
        self.generator = np.random.default_rng([config.seed, 2])
        self.examples = ExampleSource(
            self.pool,
            self.rows,
            tokenizer,
            config.max_length,
            BatchStream(lengths, config.batch_size, config.seed),
            BatchStream(lengths, config.batch_size, config.seed + 1),
            np.random.default_rng([config.seed, 3]),
        )
        n_layers = model.config.num_hidden_layers
        rates = layer_learning_rates(1.0, config.transfer.layer_decay, n_layers)
        started = time.perf_counter()
        table = self.table or self.replicas.from_first(
            lambda: cost_table(model, config.pruning, self.threads, config.latency_sequence_length)
        )
        self.timing_seconds = time.perf_counter() - started
        self.pruning = PruningState(model, make_optimizer(model, rates, None), config.pruning, table)
        self.language = self._language() if config.perplexity else None
        self.teacher: Teacher | None = None
        self.teacher_accuracy: float | None = None
        self._scores = self._score()
        # Those are made again when a run is resumed.
        self._n_opening_notes = len(self.notes)
        return self._metrics()

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        """Realise the ratios, train one segment, score validation.

        Raises:
            InputError: every segment is done.
            TrainingDivergedError: training diverged more often than `Setbacks` allows.
        """
        config = self.config
        started = time.perf_counter()
        self.examples.labelled.use(
            self._begin_segment(config.batch_size, config.selection, ratios.data, config.data_ratio)
        )
        pseudo = self._pseudo_labels(levers)
        before, was_dense = self.model, self._dense
        self._compress(ratios, levers)
        if was_dense and not self._dense:
            self._keep_as_teacher(before)
        teacher = self.teacher if self._learns_from_teacher else None
        target = round(self.budget * self._segment / config.n_segments)
        self.preparing_seconds += time.perf_counter() - started
        started = time.perf_counter()
        while self.passes_done < target:
            batch = self.examples.next(levers, pseudo)
            rate = rate_at(self.passes_done / self.budget, config.learning_rate)
            set_rate(self.pruning.optimizer, self.setbacks.rate_scale * rate)
            try:
                train_step(
                    self.model,
                    self.pruning.optimizer,
                    batch,
                    precision=self.precision,
                    shape=self.pruning.shape,
                    importance=self.pruning.importance,
                    teacher=teacher,
                    pool=self.rows,
                    distillation_weight=levers.distillation_weight,
                    language=self.language,
                    replicas=self.replicas,
                )
            except TrainingDivergedError as error:
                self._start_again(ratios, levers, error)
            self.passes_done += len(batch.labels)
        self.train_seconds += time.perf_counter() - started
        try:
            self._scores = self._score()
        except TrainingDivergedError as error:
            self._start_again(ratios, levers, error)
            self._scores = self._score()
        return self._metrics()

    def _meet(self, in_use: NDArray[np.int64], classes: NDArray[np.int64]) -> None:
        """Fit the head's weights for these classes, unless it was read or is to stay as it was drawn."""
        if not self._fits_head:
            return
        first = self._segment == 0
        fitted = fit_head(
            self.model,
            self.rows.take(in_use),
            self.pool.labels_of(in_use),
            self.precision,
            self.replicas,
            classes=None if first else classes,
            # Later ones must not cost more than the segment that they are for.
            most_rows=MOST_ROWS if first else round(self.budget / self.config.n_segments / 2),
        )
        if first and not fitted:
            self.notes.append("The head could not be fitted to the first labels and stays as it was drawn.")

    @property
    def _dense(self) -> bool:
        return bool(self.pruning.shape == self.pruning.dense_shape)

    @property
    def _learns_from_teacher(self) -> bool:
        """Whether the next segment has a teacher.

        A dense model has nothing to learn from an earlier state of itself, and whoever has overtaken a teacher that
        was only partly trained is held back by it.
        """
        known = self.teacher_accuracy
        return not self._dense and known is not None and self._scores.accuracy <= known

    def _keep_as_teacher(self, dense: SlimEncoderForSequenceClassification) -> None:
        """Let the dense model teach what is left of it; of several, where a run went back to dense, the best."""
        accuracy = self._scores.accuracy
        if self._fits_head and self._segment == 1:
            # What was scored at the opening had its head still as it was drawn.
            accuracy = self._score(dense).accuracy
        if self.teacher_accuracy is None or accuracy >= self.teacher_accuracy:
            self.teacher = Teacher(dense, len(self.pool), self.precision)
            self.teacher_accuracy = accuracy

    def _start_again(self, ratios: Ratios, levers: Levers, error: TrainingDivergedError) -> None:
        """Return to where the segment started, at a lower rate; passes that were taken stay spent."""
        self.setbacks.add(self._segment, self.passes_done, error)
        assert self._before is not None  # set where the segment began
        self._restore_model(self._before)
        self._take(self.pruning.realise(self.model, ratios.compression, levers.depth_share))

    def state(self) -> dict[str, Any]:
        """Copy everything that decides how the run goes on: arrays and JSON-ready values."""
        return {
            "pruning": self.pruning.state(self.model),
            "teacher": None if self.teacher is None else self.teacher.state(),
            "teacher_accuracy": self.teacher_accuracy,
            "language": None if self.language is None else self.language.state(),
            "bought": np.flatnonzero(self.pool.bought),
            "examples": self.examples.state(),
            "generator": self.generator.bit_generator.state,
            "torch_generator": torch.random.get_rng_state().numpy(),
            "scores": asdict(self._scores),
            "data_ratio": self._data_ratio,
            "segment": self._segment,
            "passes_done": self.passes_done,
            "train_seconds": self.train_seconds,
            "preparing_seconds": self.preparing_seconds,
            "validation_seconds": self.validation_seconds,
            "setbacks": self.setbacks.state(),
            "notes": self.notes[self._n_opening_notes :],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where the session was that gave `state`; call it after `open`, with the same configuration.

        What follows is the same bit for bit on one machine with the same number of threads.
        """
        self.model = self.pruning.resume(state["pruning"])
        self.model.train()
        if state["teacher"] is not None:
            self.teacher = Teacher.from_state(state["teacher"], self._dense_config, len(self.pool), self.precision)
        self.teacher_accuracy = state["teacher_accuracy"]
        if self.language is not None:
            self.language.restore(state["language"])
        self.pool.buy(state["bought"])
        self.examples.restore(state["examples"])
        self.generator.bit_generator.state = state["generator"]
        torch.random.set_rng_state(torch.from_numpy(np.array(state["torch_generator"])))
        self._scores = Scores(**state["scores"])
        self._data_ratio, self._segment = state["data_ratio"], state["segment"]
        self.passes_done = state["passes_done"]
        self.setbacks = Setbacks.from_state(state["setbacks"])
        self.notes += state["notes"]
        self.train_seconds = state["train_seconds"]
        self.preparing_seconds, self.validation_seconds = state["preparing_seconds"], state["validation_seconds"]

    def close(self, folder: Path) -> dict[str, Any]:
        """Write the artefact and score IT: validation in full, and test, touched here and only here.

        Returns:
            the accuracy and cost keys of `result.json`; size on disk is measured, latency is not (see `measurement`).
        """
        save_artefact(self.model, self.tokenizer, folder, max_length=self.config.max_length, pairs=self.task.is_pair)
        path = folder / "model.onnx"
        validation, plain_validation, _ = self._score_twice(path, self.task.validation)
        test, plain_test, same = self._score_twice(path, self.task.test)
        closed = {
            "test_accuracy": test.accuracy,
            "validation_accuracy": validation.accuracy,
            "macro_f1": test.macro_f1,
            "same_labels": same,
            "perplexity": self._perplexity(rounded=True),
            "label_fraction": self.pool.n_bought / len(self.pool),
            "labels_bought": self.pool.n_bought,
            "example_passes": self.passes_done,
            "train_seconds": self.train_seconds,
            "preparing_seconds": self.preparing_seconds,
            "validation_seconds": self.validation_seconds,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "size_bytes": path.stat().st_size,
            "compression_ratio": self.pruning.compression_ratio,
            "predicted_latency_ms": self.pruning.predicted_ms,
        }
        # The same model before rounding: what a dense run offers as a reference, and what int8 costs in accuracy.
        exact = {
            "test_accuracy": plain_test.accuracy,
            "validation_accuracy": plain_validation.accuracy,
            "macro_f1": plain_test.macro_f1,
            "perplexity": self._perplexity(rounded=False),
        }
        return closed | {"fp32": closed | exact}

    def _language(self) -> MaskedLanguageModel:
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"Encoder {self.source!r} has no mask token; perplexity needs one.")
        config = self.model.config
        return MaskedLanguageModel(
            config.hidden_size, self.tokenizer, config.vocab_size, self.rows, self.config.batch_size, self.config.seed
        )

    def _perplexity(self, *, rounded: bool) -> float | None:
        """Return the perplexity of validation text; with its weights rounded, that of what is exported."""
        if self.language is None:
            return None
        encoder = copy.deepcopy(self.model.encoder)
        if rounded:
            round_as_exported(encoder)
        # The masks are the same for every run: figures of one task compare.
        words = self.model.encoder.embeddings.word.weight
        return self.language.perplexity(encoder, self._tokenize(self.task.validation), seed=0, words=words)

    def score(self, split: Split) -> Scores:
        """Score the model as it stands, in fp32, on a whole split."""
        probabilities, _ = predict(self.model, self._tokenize(split), "fp32")
        return classification_scores(probabilities, split.labels)

    def _tokenize(self, split: Split) -> TokenRows:
        return tokenize(
            self.tokenizer,
            split.texts,
            split.pairs,
            max_length=self.config.max_length,
            with_segments=bool(self.model.config.type_vocab_size),
        )

    def _pseudo_labels(self, levers: Levers) -> PseudoLabels | None:
        unlabelled = np.flatnonzero(~self.pool.bought)
        if levers.pseudo_label_share <= 0.0 or not len(unlabelled) or self._segment == 0:
            return None
        wanted = round(levers.pseudo_label_share * self.budget / self.config.n_segments)
        candidates = np.sort(self.generator.permutation(unlabelled)[: 2 * wanted])
        probabilities, _ = predict(self.model, self.rows.take(candidates), self.precision, replicas=self.replicas)
        found = pseudo_labels(probabilities, threshold=self.config.pseudo_label_threshold, limit=wanted)
        found = replace(found, rows=candidates[found.rows])
        self.examples.unlabelled.use(found.rows)
        return found

    def _score(self, model: SlimEncoderForSequenceClassification | None = None) -> Scores:
        started = time.perf_counter()
        probabilities, _ = predict(model or self.model, self.validation_rows, self.precision, replicas=self.replicas)
        self.validation_seconds += time.perf_counter() - started
        if not np.isfinite(probabilities).all():
            raise TrainingDivergedError("A prediction for a validation text became no number.")
        return classification_scores(probabilities, self.validation.labels)

    def _score_twice(self, path: Path, split: Split) -> tuple[Scores, Scores, float]:
        """Score the exported file, and the fp32 model it was made of, on one split; and how often both agree."""
        rows = self._tokenize(split)
        exported = predict_onnx(path, rows.encodings, threads=self.threads)
        plain, _ = predict(self.model, rows, "fp32")
        same = float((exported.argmax(axis=1) == plain.argmax(axis=1)).mean())
        return classification_scores(exported, split.labels), classification_scores(plain, split.labels), same
