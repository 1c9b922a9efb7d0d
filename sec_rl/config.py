"""The configuration of one controlled run; the same keys serve flags, files and `config.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from sec_rl.values import Levers, Preference

Schedule = Literal["dense", "fixed", "cubic", "random", "policy"]


class TransferConfig(BaseModel):
    """Where the weights start and how fast each depth moves.

    Attributes:
        warm_start: encoder to start from instead of `encoder`, such as the model folder of a dense run; its head
            stays where the classes are the same.
        layer_decay: learning rate of a layer over that of the layer above it, in (0, 1].
        head: `fitted` to the first labels before fine-tuning, or `drawn` at random; an encoder that brings a head of
            the same classes keeps it either way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_start: str | None = None
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    head: Literal["fitted", "drawn"] = "fitted"


class PruningConfig(BaseModel):
    """How the compression ratio is realised.

    Attributes:
        importance: `first-order` (Molchanov et al. 2019, |weight x gradient|) or `fisher` (its square).
        cost: `latency` uses the table measured on this device; `flops` an analytic one (machine-independent).
        vocabulary: `pruned` keeps the word pieces the pool needs; `full` keeps the encoder's; `auto` is `full`
            for the dense schedule and `pruned` for all others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    importance: Literal["first-order", "fisher"] = "first-order"
    cost: Literal["latency", "flops"] = "latency"
    vocabulary: Literal["auto", "pruned", "full"] = "auto"


class RunConfig(BaseModel):
    """One controlled run.

    Attributes:
        task: packaged name, folder, csv, jsonl or parquet file, or `hub:NAME[/CONFIG]`.
        text: column of the texts; None: `text`, or what is told by its name.
        text_pair: column of the second texts of pairs; None: `text_pair`, or told with `text`.
        label: column of the labels; None: `label`, or what is told by its name.
        encoder: packaged name, local directory, or hub id.
        schedule: what drives the run.
        policy: folder of the policy that drives it, with the schedule `policy` only; None: the shipped one.
        preference: weights and targets; a policy trades them off, and targets bound every schedule's compression.
        data_ratio: share of the pool's labels the schedule ends at, in (0, 1]; a policy buys no more than that.
        compression_ratio: share of the prunable cost the schedule ends without, in [0, 0.95].
        passes: budget of example passes; None: three epochs of the pool, between 3,200 and 24,000.
        n_segments: segments the budget is cut into.
        batch_size: examples per optimizer step.
        learning_rate: peak learning rate of AdamW.
        max_length: longest text in tokens; longer ones are cut.
        selection: how labels are chosen when they are bought.
        levers: per-technique settings.
        validation_rows: rows scored after each segment; None: what a tenth of the training work can afford.
        pseudo_label_threshold: confidence a pseudo-label must exceed, in [0.5, 1).
        transfer: starting weights and learning rates per layer.
        pruning: how structures are chosen.
        dense_reference: `none`, `train`, or the folder of a finished dense run to compare with.
        perplexity: train a masked-language-model head alongside, and report the perplexity of validation text.
        precision: `auto` takes bf16 autocast where matrix products are clearly faster in it on this CPU.
        threads: threads of torch and onnxruntime; None: every core this process may use.
        latency_sequence_length: tokens per text when latency is measured.
        latency_rounds: turns of each model when latency is measured; up to twice as many while the spread is high.
        seed: seed of every generator.

    Raises:
        pydantic.ValidationError: a setting is unknown, of another type, or outside its range.

    Examples:
        >>> from sec_rl import RunConfig
        >>> config = RunConfig(task="questions", compression_ratio=0.75)
        >>> config.schedule, config.n_segments
        ('cubic', 16)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    encoder: str = "minilm-l6"
    schedule: Schedule = "cubic"
    policy: str | None = None
    preference: Preference = Preference()
    data_ratio: float = Field(default=1.0, gt=0.0, le=1.0)
    compression_ratio: float = Field(default=0.5, ge=0.0, le=0.95)
    passes: PositiveInt | None = None
    n_segments: int = Field(default=16, ge=2, le=200)
    batch_size: int = Field(default=16, ge=2, le=1024)
    learning_rate: float = Field(default=1.5e-4, gt=0.0, le=1e-2)
    max_length: int = Field(default=128, ge=8, le=512)
    selection: Literal["random", "margin", "entropy", "badge", "kmeans"] = "margin"
    levers: Levers = Levers()
    validation_rows: PositiveInt | None = None
    pseudo_label_threshold: float = Field(default=0.9, ge=0.5, lt=1.0)
    transfer: TransferConfig = TransferConfig()
    pruning: PruningConfig = PruningConfig()
    dense_reference: str = "none"
    perplexity: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    threads: PositiveInt | None = None
    latency_sequence_length: int = Field(default=32, ge=8, le=512)
    latency_rounds: int = Field(default=7, ge=1, le=100)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @property
    def prunes_vocabulary(self) -> bool:
        """Whether the vocabulary is cut to what the pool needs."""
        choice = self.pruning.vocabulary
        return choice == "pruned" or (choice == "auto" and self.schedule != "dense")
