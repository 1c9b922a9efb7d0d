"""`RUN/model`: the ONNX file that was measured, the PyTorch weights, the tokenizer, the labels."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from sec_rl.compression.adapters import adapter_for
from sec_rl.compression.export import build_onnx
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.files import disk_error, write_bytes


def save_artefact(
    model: SlimEncoderForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    max_length: int,
    pairs: bool = False,
) -> None:
    """Write everything that is needed to deploy or to continue with a model.

    A model of uniform shape is written as the stock architecture, so that `from_pretrained` loads it without this
    package; any other shape needs `import sec_rl` first.

    Args:
        model: the model to write.
        tokenizer: its tokenizer.
        folder: is created.
        max_length: longest text in tokens the model was trained for.
        pairs: whether it reads pairs of texts; then `config.json` says so, and `Classifier` asks for both.

    Raises:
        DiskError: the disk is full, or may not be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "model.onnx", build_onnx(model, quantized=True).SerializeToString())
    tokenizer.model_max_length = max_length
    try:
        tokenizer.save_pretrained(folder)
    # tokenizers raises a bare Exception for a disk that is full.
    except Exception as error:
        raise disk_error(folder / "tokenizer.json", error) from error
    try:
        save_weights(model, folder)
    except (OSError, SafetensorError) as error:
        raise disk_error(folder / "model.safetensors", error) from error
    if pairs:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        write_bytes(path, (json.dumps(config | {"sec_rl": {"pair": True}}, indent=2) + "\n").encode())


def save_weights(model: SlimEncoderForSequenceClassification, folder: Path) -> None:
    """Write `config.json` and `model.safetensors`."""
    state = model.state_dict()
    if model.config.shape().is_uniform:
        adapter = adapter_for(model.config.base_model_type)
        config, state = adapter.write_config(model.config), adapter.write_weights(state)
    else:
        config = model.config
        config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    path = folder / "model.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata={"format": "pt"})
    # safetensors creates files only the owner may read; an artefact is for others as well.
    path.chmod((folder / "config.json").stat().st_mode & 0o777)
