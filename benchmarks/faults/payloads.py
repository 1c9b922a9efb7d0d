"""Files that a stranger may give: each would run code, read elsewhere, or ask for all memory, if a reader let it.

Code would leave a file, the canary; what lies outside holds a marked text that no reader may have seen.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.samples import KINDS, Kind
from benchmarks.faults.tiny_model import write_tiny_encoder

EVIL_HTML = "<script>alert('x')</script>"
_SECRET = "the-secret-of-somebody-else"


class _Evil:
    """Unpickling it creates the canary."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return subprocess.call, (["touch", str(self._canary)],)


@dataclass(frozen=True)
class Place:
    """Where a payload is written.

    Attributes:
        folder: a valid sample of its kind; the payload spoils it.
        outside: a folder beside it with the same sample and `secret.txt`: nothing of it may be read.
        canary: exists once code has run.
    """

    folder: Path
    outside: Path
    canary: Path

    def pickled(self) -> bytes:
        """Return a pickle that creates the canary."""
        return pickle.dumps(_Evil(self.canary))

    def zipped(self, *names: str) -> bytes:
        """Return an archive of such pickles, as torch and stable-baselines3 write them."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name in names:
                archive.writestr(name, self.pickled())
        return content.getvalue()

    def module(self) -> str:
        """Return a Python module that creates the canary."""
        return f"import pathlib\npathlib.Path({str(self.canary)!r}).touch()\n"


@dataclass(frozen=True)
class Payload:
    """One hostile folder.

    Attributes:
        kind: what it pretends to be.
        write: spoils a valid folder.
        harmless: whether it may also be read, for what it holds is only text.
    """

    kind: str
    write: Callable[[Place], object]
    harmless: bool = False


def _read_encoder(folder: Path) -> object:
    from sec_rl.compression.loading import load_dense
    from sec_rl.encoders import resolve_encoder

    return load_dense(resolve_encoder(str(folder)), ("down", "up"), 0)


def _read_hub(folder: Path) -> object:
    from sec_rl.tasks import load_task

    return load_task(f"hub:{folder}")


def _read_page(folder: Path) -> object:
    """Return what `compare` writes of a run."""
    from sec_rl.report.comparison_page import comparison_page
    from sec_rl.run_folder import read_result

    page = comparison_page({folder.name: read_result(folder)})
    if EVIL_HTML in page:
        raise AssertionError("markup of a run stands in the page as it is")
    return page


READERS: Mapping[str, Kind] = {
    **KINDS,
    "encoder": Kind(write_tiny_encoder, _read_encoder),
    "hub": Kind(KINDS["task, csv"].make, _read_hub),
    "page": Kind(KINDS["finished run"].make, _read_page),
}


def _header(**entry: Any) -> bytes:
    """Return a safetensors file that promises more than it holds."""
    header = json.dumps({"layer0.weight": {"dtype": "F32", **entry}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


def _put(name: str, content: Callable[[Place], bytes]) -> Callable[[Place], object]:
    return lambda place: (place.folder / name).write_bytes(content(place))


def _link(name: str) -> Callable[[Place], object]:
    """Return what puts a link to the same file outside in a file's place."""

    def write(place: Place) -> None:
        (place.folder / name).unlink()
        (place.folder / name).symlink_to(place.outside / name)

    return write


def _edit(name: str, **changes: Any) -> Callable[[Place], object]:
    """Return what changes entries of a JSON file."""

    def write(place: Place) -> None:
        path = place.folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return write


def _with_module(name: str, **changes: Any) -> Callable[[Place], object]:
    def write(place: Place) -> None:
        _edit(name, **changes)(place)
        for module in ("evil.py", "modeling_evil.py", "configuration_evil.py", "tokenization_evil.py"):
            (place.folder / module).write_text(place.module())

    return write


def _pickle_only(place: Place) -> None:
    (place.folder / "model.safetensors").unlink()
    (place.folder / "pytorch_model.bin").write_bytes(place.zipped("archive/data.pkl"))


def _external(location: str) -> Callable[[Place], object]:
    """Return what writes an ONNX file whose weights lie in another file."""

    def write(place: Place) -> None:
        import onnx
        from onnx import TensorProto

        path = place.folder / "model.onnx"
        model = onnx.load(path)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        where = location.format(outside=place.outside, name=place.outside.name)
        for key, value in (("location", where), ("offset", "0"), ("length", "72")):
            tensor.external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())

    return write


def _python_column(name: str) -> Callable[[Place], object]:
    """Return what writes a parquet file whose column type is a pickle (CVE-2023-47248)."""

    def write(place: Place) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": place.pickled()}
        column = pa.field("text", pa.string(), metadata=about)
        pq.write_table(pa.table([pa.array(["a"] * 40)], schema=pa.schema([column])), place.folder / name)

    return write


def _bomb(place: Place) -> None:
    """Write a small parquet file that unpacks to 8 GB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    chunk = pa.table({"segment": pa.array(np.zeros(10_000_000))})
    with pq.ParquetWriter(place.folder / "bomb.parquet", chunk.schema, use_dictionary=False) as writer:
        for _ in range(3):
            writer.write_table(chunk)


def _script(place: Place) -> None:
    for path in place.folder.iterdir():
        path.unlink()
    (place.folder / f"{place.folder.name}.py").write_text(place.module())


def _yaml(place: Place) -> bytes:
    return f"---\nconfigs: !!python/object/apply:os.system ['touch {place.canary}']\n---\n".encode()


def _call(place: Place) -> bytes:
    return f"task: sms-spam\nlevers: !!python/object/apply:os.system ['touch {place.canary}']\n".encode()


def _laughs(_place: Place) -> bytes:
    """Return ten lines that say ten billion words once their aliases are written out."""
    lines = ["task: sms-spam", "a0: &a0 ha"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11)]
    return "\n".join(lines).encode()


def _merged_laughs(_place: Place) -> bytes:
    """Return the same through merge keys, which a usual reader writes out itself."""
    lines = ["task: sms-spam", "a0: &a0 {passes: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 11)]
    return "\n".join(lines).encode()


def _html(place: Place) -> None:
    _edit("result.json", task=EVIL_HTML, encoder=EVIL_HTML, schedule=EVIL_HTML, notes=[EVIL_HTML])(place)


def _deep(_place: Place) -> bytes:
    return b"[" * 200_000


def _pickled(place: Place) -> bytes:
    return place.pickled()


def _archive(place: Place) -> bytes:
    return place.zipped("archive/data.pkl", "archive/version")


def _sb3(place: Place) -> bytes:
    return place.zipped("data", "policy.pth", "pytorch_variables.pth", "_stable_baselines3_version")


_STATE = "state-000000000002"
_AUTO = {kind: f"modeling_evil.{kind}" for kind in ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")}

PAYLOADS: dict[str, Payload] = {
    "policy: a pickle as tensors": Payload("policy", _put("policy.safetensors", _pickled)),
    "policy: a stable-baselines3 archive as tensors": Payload("policy", _put("policy.safetensors", _sb3)),
    "policy: a pickle as card": Payload("policy", _put("policy.json", _pickled)),
    "policy: layers of a billion": Payload("policy", _edit("policy.json", layer_sizes=[24, 10**9, 2])),
    "policy: a tensor of 10^20 entries": Payload(
        "policy", _put("policy.safetensors", lambda _: _header(shape=[10**10, 10**10], data_offsets=[0, 4]))
    ),
    "policy: a header of 2^63 bytes": Payload(
        "policy", _put("policy.safetensors", lambda _: struct.pack("<Q", 2**63) + b"{}")
    ),
    "policy: a deep card": Payload("policy", _put("policy.json", _deep)),
    "policy: a link out": Payload("policy", _link("policy.safetensors")),
    "simulator: a pickle as tensors": Payload("simulator", _put("simulator.safetensors", _pickled)),
    "simulator: an archive as tensors": Payload("simulator", _put("simulator.safetensors", _archive)),
    "simulator: a deep description": Payload("simulator", _put("simulator.json", _deep)),
    "simulator: a link out": Payload("simulator", _link("simulator.safetensors")),
    "checkpoint: a pickle as newest state": Payload("checkpoint", _put(f"{_STATE}.safetensors", _pickled), True),
    "checkpoint: a deep card": Payload("checkpoint", _put(f"{_STATE}.json", _deep), True),
    "traces: a pickle as parquet": Payload("traces", _put("two.parquet", _pickled)),
    "traces: a column type that is a pickle": Payload("traces", _python_column("two.parquet")),
    "traces: a file that unpacks to too much": Payload("traces", _bomb),
    "traces: a link out": Payload("traces", _link("one.parquet")),
    "task: a column type that is a pickle": Payload("task, parquet", _python_column("train.parquet")),
    "task: a pickle as parquet": Payload("task, parquet", _put("train.parquet", _pickled)),
    "task: a link out": Payload("task, csv", _link("train.csv")),
    "task: deep names of labels": Payload("task, jsonl", _put("info.json", _deep)),
    "hub: a loading script": Payload("hub", _script),
    "hub: YAML tags in the card": Payload("hub", _put("README.md", _yaml)),
    "configuration: YAML tags": Payload("configuration", _put("config.toml", _yaml)),
    "configuration: a tag that calls": Payload("configuration, YAML", _put("config.yaml", _call)),
    "configuration: aliases of aliases": Payload("configuration, YAML", _put("config.yaml", _laughs)),
    "configuration: merged aliases of aliases": Payload("configuration, YAML", _put("config.yaml", _merged_laughs)),
    "configuration: an alias of itself": Payload(
        "configuration, YAML", _put("config.yaml", lambda _: b"task: sms-spam\nlevers: &a {levers: *a}\n")
    ),
    "configuration: deep YAML": Payload("configuration, YAML", _put("config.yaml", lambda _: b"a: " + b"[" * 90_000)),
    "configuration: YAML of 100 MB": Payload("configuration, YAML", _put("config.yaml", lambda _: b"#" * 10**8)),
    "configuration: a pickle": Payload("configuration", _put("config.toml", _pickled)),
    "encoder: auto_map to a module": Payload("encoder", _with_module("config.json", auto_map=_AUTO), True),
    "encoder: an unknown type with auto_map": Payload(
        "encoder", _with_module("config.json", auto_map=_AUTO, model_type="evil", trust_remote_code=True)
    ),
    "encoder: a tokenizer with auto_map": Payload(
        "encoder",
        _with_module(
            "tokenizer_config.json",
            auto_map={"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]},
            tokenizer_class="Evil",
        ),
        True,
    ),
    "encoder: weights in a pickle only": Payload("encoder", _pickle_only),
    "encoder: a pickle as tensors": Payload("encoder", _put("model.safetensors", _archive)),
    "encoder: a billion hidden features": Payload("encoder", _edit("config.json", hidden_size=10**9)),
    "encoder: a billion labels": Payload("encoder", _edit("config.json", num_labels=10**9)),
    "encoder: a billion layers": Payload("encoder", _edit("config.json", num_hidden_layers=10**9)),
    "encoder: a link out": Payload("encoder", _link("model.safetensors")),
    "model: weights in ..": Payload("model", _external("../{name}/secret.txt")),
    "model: weights at an absolute path": Payload("model", _external("{outside}/secret.txt")),
    "model: a pickle as ONNX": Payload("model", _put("model.onnx", _pickled)),
    "model: a pickle as tokenizer": Payload("model", _put("tokenizer.json", _pickled)),
    "model: a link out": Payload("model", _link("model.onnx")),
    "run: a pickle as result": Payload("finished run", _put("result.json", _pickled)),
    "run: a link out": Payload("finished run", _link("result.json")),
    "run: markup in every text": Payload("page", _html, True),
}


def place_payload(name: str, folder: Path) -> Place:
    """Write a payload below a folder, which must be empty, and return where."""
    payload = PAYLOADS[name]
    place = Place(folder / "given", folder / "outside", folder / "canary")
    for each in (place.folder, place.outside):
        each.mkdir()
        READERS[payload.kind].make(each)
    (place.outside / "secret.txt").write_text(_SECRET * 20)
    payload.write(place)
    return place


def judge_payload(name: str, folder: Path) -> str | None:
    """Read a payload; return what is wrong with how that went, None when nothing is.

    Args:
        name: key of `PAYLOADS`.
        folder: empty.
    """
    from sec_rl.errors import SecRlError

    payload, place = PAYLOADS[name], place_payload(name, folder)
    before = os.getcwd()
    os.chdir(place.folder)
    said = ""
    try:
        READERS[payload.kind].read(place.folder)
        if not payload.harmless:
            return "it was read"
    except SecRlError as error:
        said = str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        os.chdir(before)
    if place.canary.exists():
        return "code was executed"
    return "an error shows what lies outside" if _SECRET in said else None
