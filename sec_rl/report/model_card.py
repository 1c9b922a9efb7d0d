"""`RUN/model/README.md`: what the model is, what it was measured on, how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from sec_rl.encoders import hub_id
from sec_rl.files import write_atomically
from sec_rl.report.cells import against_dense, clock_doubt, headline, parity
from sec_rl.results import started_from
from sec_rl.run_folder import read_result


def write_model_card(folder: Path, label_names: Sequence[str], *, pairs: bool = False) -> Path:
    """Write the card of a finished run's model.

    Args:
        folder: the run folder.
        label_names: names of the classes, in order.
        pairs: whether the model reads pairs of texts.

    Returns:
        the file.
    """
    path = folder / "model" / "README.md"
    write_atomically(path, model_card(read_result(folder), label_names, pairs=pairs))
    return path


def model_card(result: Mapping[str, Any], label_names: Sequence[str], *, pairs: bool = False) -> str:
    """Return the card as Markdown; names that a user chose are shown as code, never as markup."""
    rows = "\n".join(f"| {name} | {ours} | {dense} |" for name, ours, dense in against_dense(result))
    machine, settings = result["machine"], result["latency_settings"]
    doubt = f" {clock_doubt(result)}" if clock_doubt(result) else ""
    version = machine["versions"]["sec_rl"]
    agreed = f"\n{parity(result)}\n" if parity(result) else ""
    second = ' --pair "the text beside it"' if pairs else ""
    labels = ", ".join(_code(name) for name in label_names)
    return f"""---
{_metadata(result)}
---

# Text classifier, {_code(_public(started_from(result)))} on {_code(_public(result["task"]))}

{headline(result)}

Labels: {labels}.

| | this model (int8 ONNX) | dense (fp32 PyTorch) |
|---|---:|---:|
{rows}

Latency on {machine["cpu"]}, {machine["threads"]} threads, {settings["sequence_length"]} tokens per text;
other machines differ: `sec-rl measure RUN` measures again.{doubt}
Schedule {result["schedule"]}, seed {result["seed"]}, sec-rl {version}.

## Use

`model.onnx` needs onnxruntime and `tokenizer.json` only:

```bash
sec-rl predict path/to/this/folder "a text to classify"{second}
```

The PyTorch weights (fine-tuned, before int8 rounding):

```python
import sec_rl  # not needed when every layer kept the same shape
from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained("path/to/this/folder")
```
{agreed}
## Limits

Trained and tested on the task named above and on nothing else: expect less on other texts, languages and lengths.
What the encoder and the task's texts are biased towards, this model is as well; pruning may hit rare classes harder
than the average accuracy shows. The encoder's and the data's licences apply.
"""


def _metadata(result: Mapping[str, Any]) -> str:
    """Return what the hub reads: YAML, with the figures of the test split."""
    task = _public(result["task"])
    figures = {"accuracy": result["test_accuracy"], "f1": result.get("macro_f1")}
    known = {name: float(value) for name, value in figures.items() if value is not None}
    data = ModelCardData(
        # What holds is up to the encoder, the texts and their owner.
        license="other",
        license_name="encoder-and-data",
        library_name="sec-rl",
        pipeline_tag="text-classification",
        tags=["text-classification", "sec-rl", "model-compression", "pruning", "int8", "onnx"],
        base_model=hub_id(started_from(result)),
        metrics=list(known),
        model_name=f"sec-rl on {task}",
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=task,
                dataset_name=task,
                dataset_split="test",
                metric_type=name,
                metric_value=value,
            )
            for name, value in known.items()
        ],
    )
    return data.to_yaml()


def _public(name: object) -> str:
    """Return a name without its folders: a path is nobody's business but its owner's. Hub ids stay as they are."""
    text = str(name)
    if text.startswith("hub:") or hub_id(text) is not None:
        return text
    return PurePath(text).name or "task"


def _code(text: object) -> str:
    shown = " ".join(str(text).replace("`", "'").replace("|", "/").split())
    return f"`{shown}`"
