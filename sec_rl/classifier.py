"""Classify with an exported artefact; needs onnxruntime, tokenizers and numpy, neither torch nor
transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sec_rl.errors import InputError
from sec_rl.files import leads_out, read_json
from sec_rl.hub import fetched
from sec_rl.measurement.onnx_session import open_session
from sec_rl.measurement.prediction import Encodings, predict_session
from sec_rl.readable import text_fault

REQUIRED_FILES = ("model.onnx", "config.json", "tokenizer.json")
# What an exported model may consist of.
MODEL_FILES = (
    *REQUIRED_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "model.safetensors",
)
# What BERT-sized encoders take where nothing says otherwise.
_LONGEST = 512
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        label: name of the most probable class.
        probability: its probability, in [0, 1].
        probabilities: of every class by name, in the order of the class ids; they sum to 1.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier:
    """An exported model with its tokenizer.

    Attributes:
        label_names: names of the classes, in the order of their ids.
        max_length: longest text in tokens, special tokens included; longer ones are cut.
        pairs: whether it was trained on pairs of texts, as far as its folder says.

    Examples:
        >>> from sec_rl import Classifier
        >>> classifier = Classifier("RUN/model")
        >>> (found,) = classifier.predict(["a good film"])
        >>> found.label in classifier.label_names, 0.0 <= found.probability <= 1.0
        (True, True)
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        """Open `RUN/model`.

        Args:
            folder: holds `model.onnx`, `config.json` and `tokenizer.json`, and optionally
                `tokenizer_config.json`; or `hub:OWNER/NAME[@REVISION]`, where they are downloaded from.
            threads: threads of onnxruntime; None leaves the choice to it.

        Raises:
            InputError: a file is missing, unreadable, or does not fit the others.
        """
        folder = fetched(folder, (*REQUIRED_FILES, "tokenizer_config.json"))
        missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{str(folder)!r} holds no exported model: it has no {' and no '.join(missing)}.")
        outside = [name for name in REQUIRED_FILES if leads_out(folder / name)]
        if outside:
            raise InputError(f"{str(folder / outside[0])!r} is a link out of its folder; nothing was read.")
        config = _read_json(folder / "config.json")
        tokenizer_config = _read_json(folder / "tokenizer_config.json")
        self.label_names = _label_names(config, folder)
        self.max_length = _max_length(config, tokenizer_config)
        self.pairs = _reads_pairs(config)
        self._session = open_session(folder / "model.onnx", threads=threads)
        n_outputs = self._session.get_outputs()[0].shape[-1]
        if isinstance(n_outputs, int) and n_outputs != len(self.label_names):
            raise InputError(
                f"{str(folder)!r}: config.json names {len(self.label_names)} labels, model.onnx has {n_outputs}."
            )
        self._tokenizer = _read_tokenizer(folder / "tokenizer.json", self.max_length)
        self._pad_id = _pad_id(self._tokenizer, config, tokenizer_config)

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, batch_size: int = 32
    ) -> list[Prediction]:
        """Classify texts, or pairs of texts.

        Args:
            texts: the texts; none gives no predictions.
            pairs: the second text of each, for tasks on pairs.
            batch_size: texts per call of the model.

        Returns:
            one prediction per text, in their order.

        Raises:
            InputError: one string instead of a list, not as many pairs as texts, none for a model of pairs, or one of
                them is no text.
        """
        if isinstance(texts, str) or isinstance(pairs, str):
            raise InputError("predict takes a list of texts, not a single one.")
        if self.pairs and pairs is None:
            raise InputError("This model reads pairs of texts: give the second text of each, too (--pair).")
        if pairs is not None and len(pairs) != len(texts):
            raise InputError(f"There are {len(texts)} texts and {len(pairs)} second texts.")
        if not texts:
            return []
        for name, values in (("text", texts), ("second text", pairs or ())):
            for number, value in enumerate(values, 1):
                if fault := text_fault(value):
                    raise InputError(f"The {name} {number} of {len(values)} {fault}.")
        inputs = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        encoded = self._tokenizer.encode_batch(inputs)
        encodings = Encodings([e.ids for e in encoded], [e.type_ids for e in encoded], self._pad_id)
        rows = predict_session(self._session, encodings, batch_size=batch_size)
        if rows.shape[1] != len(self.label_names):
            raise InputError(f"model.onnx gives {rows.shape[1]} values per text for {len(self.label_names)} labels.")
        return [self._prediction([float(p) for p in row]) for row in rows]

    def _prediction(self, row: list[float]) -> Prediction:
        best = max(range(len(row)), key=row.__getitem__)
        return Prediction(self.label_names[best], row[best], dict(zip(self.label_names, row, strict=True)))


def read_label_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes of an exported model, in the order of their ids.

    Raises:
        InputError: its `config.json` is missing or names none.
    """
    return _label_names(_read_json(folder / "config.json"), folder)


def reads_pairs(folder: Path) -> bool:
    """Return whether an exported model was trained on pairs of texts, as far as its `config.json` says."""
    return _reads_pairs(_read_json(folder / "config.json"))


def _reads_pairs(config: dict[str, Any]) -> bool:
    own = config.get("sec_rl")
    return isinstance(own, dict) and own.get("pair") is True


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, _MOST_BYTES) if path.is_file() or path.is_symlink() else {}


def _label_names(config: dict[str, Any], folder: Path) -> tuple[str, ...]:
    names = config.get("id2label")
    if not isinstance(names, dict) or len(names) < 2:
        raise InputError(f"{str(folder / 'config.json')!r} names fewer than two labels in `id2label`.")
    expected = [str(index) for index in range(len(names))]
    if sorted(names) != sorted(expected):
        raise InputError(f"{str(folder / 'config.json')!r}: the keys of `id2label` must be 0 to {len(names) - 1}.")
    ordered = tuple(str(names[key]) for key in expected)
    if len(set(ordered)) < len(ordered):
        raise InputError(f"{str(folder / 'config.json')!r} gives two classes the same label.")
    return ordered


def _max_length(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    """Return the run's own limit (key `sec_rl`), else the tokenizer's; at most the encoder's positions."""
    positions = config.get("max_position_embeddings")
    limit = positions if isinstance(positions, int) and positions > 0 else _LONGEST
    for source in (tokenizer_config, config):
        own = source.get("sec_rl")
        length = own.get("max_length") if isinstance(own, dict) else None
        if isinstance(length, int) and length > 0:
            return min(length, limit)
    # Where a tokenizer has no limit, transformers writes 1e30.
    usual = tokenizer_config.get("model_max_length")
    return int(min(usual, limit)) if isinstance(usual, int | float) and usual > 0 else limit


def _read_tokenizer(path: Path, max_length: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # tokenizers raises bare Exceptions for files it cannot parse.
    except Exception as error:
        raise InputError(f"{str(path)!r} is not a tokenizer: {error}") from error
    # Files often carry their training's padding and truncation.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def _pad_id(tokenizer: Tokenizer, config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    token = tokenizer_config.get("pad_token", "[PAD]")
    if isinstance(token, dict):
        token = token.get("content")
    # Half of a surrogate pair is text in JSON and nowhere else.
    known = tokenizer.token_to_id(token) if isinstance(token, str) and token.isprintable() else None
    return known if known is not None else int(config.get("pad_token_id") or 0)
