"""Opening an ONNX file that somebody gave us; needs onnxruntime only."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import onnxruntime

from sec_rl.errors import InputError

# onnxruntime says on standard error what it also raises; users get the raised sentence only.
_ERRORS_ONLY = 3
# onnxruntime fuses a residual and its norm into one operator where it can infer all shapes: in the blocks of the
# latency table, but not in a whole model. Measured here, the fused operator takes 2.4 ms where the two take 0.3 ms.
_DISABLED = ["SkipLayerNormFusion"]


def session_options(threads: int | None) -> Any:
    """Return the options that every figure of sec-rl is taken with.

    Args:
        threads: threads inside an operator; None leaves the choice to onnxruntime.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or 0
    # Threads spin inside a call, as they do by default, but not after it. Measured here: a call is as fast
    # as with the default, which burns 40 ms of processor time after every call; forbidding all spinning
    # (`session.intra_op.allow_spinning`) costs 6 % at batch 32 and up to a factor of two at batch 1.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def open_session(path: str | Path, *, threads: int | None = None) -> Any:
    """Open a self-contained ONNX file on the processor.

    Args:
        path: the file.
        threads: threads inside an operator; None leaves the choice to onnxruntime.

    Raises:
        InputError: there is no such file, it is no ONNX model, or it keeps weights in other files.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no ONNX file {str(path)!r}.")
    if uses_external_data(path):
        raise InputError(f"{str(path)!r} keeps weights in other files; only self-contained ONNX files are opened.")
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            session_options(threads),
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_DISABLED,
        )
        # Names that are no text are only found when they are asked for.
        shapes = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    # onnxruntime's own exceptions share no base class but Exception.
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{str(path)!r} cannot be opened as an ONNX model: {reason}") from error
    if not session.get_outputs():
        raise InputError(f"{str(path)!r} has no output.")
    bare = [name for name, shape in shapes.items() if not shape]
    if bare:
        raise InputError(f"{str(path)!r} takes or gives single numbers ({bare[0]!r}), not rows.")
    return session


def uses_external_data(path: Path) -> bool:
    """Return whether an ONNX file names other files to read weights from.

    Such a name may lead anywhere on the disk. It always stands behind the key ``location``, so a file
    without that word has none; a file with it is parsed where the `onnx` package is installed, and counts
    as one otherwise.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"location") < 0:
                return False
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError:
        return True
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError):
        # Not parsed, hence not known to be harmless.
        return True
    return _names_files(model)


def _names_files(message: Any) -> bool:
    """Walk every field: tensors also hide in attributes, subgraphs, functions, sparse initialisers."""
    if message.DESCRIPTOR.name == "TensorProto":
        return bool(message.external_data) or message.data_location == message.EXTERNAL
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        children = [value] if hasattr(value, "DESCRIPTOR") else value
        if any(_names_files(child) for child in children):
            return True
    return False
