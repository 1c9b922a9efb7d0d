"""What a throughput process does when asked for a block of steps; one function per recipe."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sec_rl.tasks import Task

MAX_LENGTH = 128
BATCH_SIZE = 32
# Steps at the start of a block that are not timed: first calls choose kernels and fill caches.
WARMUP_STEPS = 2
GEMM_SIZE = 2048


@dataclass(frozen=True)
class Block:
    """Examples that went forward and backward in a block, and how long that took."""

    examples: int
    seconds: float


@dataclass(frozen=True)
class Setup:
    """What every recipe trains: the same encoder on the same texts."""

    task: Task
    encoder: str
    seed: int = 0


# Takes the number of timed steps.
Recipe = Callable[[int], Block]


def ours(setup: Setup) -> Recipe:
    """sec-rl's own loop: slim encoder, length-bucketed batches, fused AdamW, bf16 where it is faster."""
    from sec_rl.compression.loading import load_dense
    from sec_rl.training.batching import BatchStream, tokenize
    from sec_rl.training.optimizer import make_optimizer, set_rate
    from sec_rl.training.precision import resolve_precision
    from sec_rl.training.trainer import Batch, train_step

    split = setup.task.train
    model, tokenizer = load_dense(setup.encoder, setup.task.label_names, setup.seed)
    has_segments = bool(model.config.type_vocab_size)
    rows = tokenize(tokenizer, split.texts, split.pairs, max_length=MAX_LENGTH, with_segments=has_segments)
    stream = BatchStream(rows.lengths, BATCH_SIZE, setup.seed)
    stream.use(np.arange(len(rows)))
    optimizer = make_optimizer(model, (1.0,) * (model.config.num_hidden_layers + 2), None)
    set_rate(optimizer, 2e-5)
    precision = resolve_precision("auto")
    model.train()

    def step() -> int:
        chosen = stream.next()
        train_step(
            model,
            optimizer,
            Batch(rows.take(chosen), split.labels[chosen], None),
            precision=precision,
            shape=model.config.shape(),
            importance=None,
            teacher=None,
            pool=rows,
            distillation_weight=0.0,
        )
        return len(chosen)

    def block(steps: int) -> Block:
        for _ in range(WARMUP_STEPS):
            step()
        started = time.perf_counter()
        examples = sum(step() for _ in range(steps))
        return Block(examples, time.perf_counter() - started)

    return block


def trainer(setup: Setup, **arguments: Any) -> Recipe:
    """`transformers.Trainer` as its text-classification example calls it.

    Args:
        setup: encoder and texts.
        arguments: of `TrainingArguments`; ``dynamic_padding`` pads to the longest text of a batch instead of 128.
    """
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )
    from transformers.trainer_callback import PrinterCallback

    dynamic = arguments.pop("dynamic_padding")
    split = setup.task.train
    tokenizer = AutoTokenizer.from_pretrained(setup.encoder)
    pairs = None if split.pairs is None else list(split.pairs)
    padding = False if dynamic else "max_length"
    encoded = tokenizer(list(split.texts), pairs, truncation=True, max_length=MAX_LENGTH, padding=padding)
    rows = [
        {**{key: encoded[key][i] for key in encoded}, "label": int(label)} for i, label in enumerate(split.labels)
    ]
    # Without dropout, as ours.
    model = AutoModelForSequenceClassification.from_pretrained(
        setup.encoder,
        num_labels=setup.task.n_classes,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    grouped = arguments.get("train_sampling_strategy") == "group_by_length"
    clock: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.append(time.perf_counter())

    class Shuffled(Trainer):  # type: ignore[misc]
        """Grouped batches begin with the longest of fifty; a block is shorter, and must not see only these."""

        def _get_train_sampler(self, *given: Any) -> Any:
            sampler = super()._get_train_sampler(*given)
            if not grouped:
                return sampler
            order = np.array(list(sampler))
            batches = order[: len(order) // BATCH_SIZE * BATCH_SIZE].reshape(-1, BATCH_SIZE)
            return np.random.default_rng(setup.seed).permutation(batches).ravel().tolist()

    def block(steps: int) -> Block:
        clock.clear()
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainingArguments(
                output_dir=folder,
                max_steps=WARMUP_STEPS + steps,
                per_device_train_batch_size=BATCH_SIZE,
                learning_rate=2e-5,
                seed=setup.seed,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_drop_last=True,
                **arguments,
            )
            runner = Shuffled(
                model=model,
                args=settings,
                train_dataset=rows,
                data_collator=DataCollatorWithPadding(tokenizer) if dynamic else default_data_collator,
                callbacks=[Clock()],
            )
            runner.remove_callback(PrinterCallback)
            runner.train()
        return Block(steps * BATCH_SIZE, clock[-1] - clock[WARMUP_STEPS - 1])

    return block


def gemm(dtype: torch.dtype) -> Recipe:
    """Square matrix products: the peak that training is compared with. "Examples" are floating-point operations."""
    left = torch.randn(GEMM_SIZE, GEMM_SIZE).to(dtype)
    right = torch.randn(GEMM_SIZE, GEMM_SIZE).to(dtype)

    @torch.inference_mode()
    def block(steps: int) -> Block:
        for _ in range(WARMUP_STEPS):
            left @ right
        started = time.perf_counter()
        for _ in range(steps):
            left @ right
        return Block(steps * 2 * GEMM_SIZE**3, time.perf_counter() - started)

    return block


RECIPES: Mapping[str, Callable[[Setup], Recipe]] = {
    "ours": ours,
    "trainer-fp32-128": lambda setup: trainer(setup, dynamic_padding=False),
    "trainer-fp32-dynamic": lambda setup: trainer(setup, dynamic_padding=True),
    "trainer-fp32-grouped": lambda setup: trainer(
        setup, dynamic_padding=True, train_sampling_strategy="group_by_length"
    ),
    "trainer-bf16-dynamic": lambda setup: trainer(setup, dynamic_padding=True, bf16=True),
    "trainer-bf16-grouped": lambda setup: trainer(
        setup, dynamic_padding=True, bf16=True, train_sampling_strategy="group_by_length"
    ),
    "gemm-fp32": lambda _: gemm(torch.float32),
    "gemm-bf16": lambda _: gemm(torch.bfloat16),
}


def flops_per_example(hidden: int, intermediate: int, layers: int, lengths: np.ndarray[Any, Any]) -> float:
    """Return the floating-point operations of one forward and backward pass, mean over texts.

    Matrix products of real tokens only: padding is no useful work. Backward counts twice forward.

    Args:
        hidden: width of the encoder.
        intermediate: neurons per feed-forward block.
        layers: number of layers.
        lengths: (n,) tokens per text.
    """
    tokens = lengths.astype(np.float64)
    linear = 2 * tokens * (4 * hidden**2 + 2 * hidden * intermediate)
    attention = 4 * tokens**2 * hidden
    return float(3 * layers * np.mean(linear + attention))
