"""An encoder's folder before anything of it is built: sizes within reason, weights where they should be, no code."""

from __future__ import annotations

from pathlib import Path

from sec_rl.errors import InputError
from sec_rl.files import leads_out, read_json

# Far beyond every encoder that this package can fine-tune; transformers allocates what the file says.
_MOST = {
    "hidden_size": 16_384,
    "intermediate_size": 131_072,
    "num_hidden_layers": 256,
    "num_attention_heads": 1_024,
    "vocab_size": 4_000_000,
    "max_position_embeddings": 1_000_000,
    "type_vocab_size": 10_000,
    "num_labels": 100_000,
    "relative_attention_num_buckets": 1_000_000,
}


def check_encoder_folder(folder: Path) -> None:
    """Check the configuration and the files of a local encoder.

    Files of a hub's cache are links to `blobs` beside its snapshots; other links must not leave the folder.

    Raises:
        InputError: a size is no whole number in its range, or a file is a link that leads elsewhere.
    """
    for path in sorted(folder.iterdir()):
        if leads_out(path):
            raise InputError(f"{str(path)!r} is a link that leads out of its folder; nothing was read.")
    config = read_json((folder / "config.json").resolve())
    for name, most in _MOST.items():
        value = config.get(name)
        if value is not None and not (type(value) is int and 0 <= value <= most):
            shown = repr(value)[:40]
            raise InputError(f"{str(folder / 'config.json')!r} has {name} {shown}; it must lie in [0, {most}].")
