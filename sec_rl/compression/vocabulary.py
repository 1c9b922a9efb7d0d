"""Vocabulary pruning: keep the word pieces a task needs, with a tokenizer that still encodes any text.

In a small encoder the embedding table is half of all parameters. Pieces that the pool never uses go, except special
tokens, single characters (so that every text still has an encoding) and the most common pieces of the language
(so that unseen texts are not torn into characters).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification

N_COMMON = 12_000
# What BERT's tokenizers keep beside their file about how a text is normalised.
_NORMALISING = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def needed_tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, n_common: int = N_COMMON
) -> NDArray[np.int64] | None:
    """Return the ids to keep, ascending, or None when the tokenizer's vocabulary cannot be cut.

    Only WordPiece vocabularies are cut: their pieces are independent of each other, while BPE merges are not.
    WordPiece files list pieces by corpus frequency after the special tokens and characters, so the first
    `n_common` of them are the language's most common.

    Args:
        tokenizer: a fast tokenizer.
        texts: the pool's texts, unlabelled ones included.
        max_length: tokens of a text that are read.
        n_common: pieces to keep on top of those that occur.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    if description["model"]["type"] != "WordPiece":
        return None
    vocabulary: dict[str, int] = description["model"]["vocab"]
    prefix = description["model"]["continuing_subword_prefix"]
    keep = np.zeros(len(tokenizer), bool)
    # A tokenizer's file may hold a length of its own, and padding to it.
    whole = Tokenizer.from_str(json.dumps({**description, "padding": None, "truncation": None}))
    whole.enable_truncation(max_length)
    for batch in whole.encode_batch(list(texts), add_special_tokens=True):
        keep[batch.ids] = True
    keep[[token["id"] for token in description["added_tokens"]]] = True
    keep[list(tokenizer.all_special_ids)] = True
    ranked = sorted(vocabulary.items(), key=lambda item: item[1])
    keep[[index for piece, index in ranked if len(piece.removeprefix(prefix)) == 1]] = True
    words = [index for piece, index in ranked if piece.isalpha()]
    keep[words[:n_common]] = True
    kept: NDArray[np.int64] = np.flatnonzero(keep)
    return kept


def prune_tokenizer(tokenizer: PreTrainedTokenizerBase, kept: NDArray[np.int64]) -> PreTrainedTokenizerBase:
    """Return a tokenizer whose ids are positions in `kept`; words it lost fall back to shorter pieces."""
    new_id = {int(old): new for new, old in enumerate(kept)}
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    model = description["model"]
    model["vocab"] = {piece: new_id[i] for piece, i in model["vocab"].items() if i in new_id}
    for token in description["added_tokens"]:
        token["id"] = new_id[token["id"]]
    _renumber(description.get("post_processor"), new_id, tokenizer)
    # Padding and truncation are chosen per call; a stored padding id would be the old one.
    description["padding"] = None
    description["truncation"] = None
    pruned = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)),
        **{name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)},
        model_max_length=tokenizer.model_max_length,
        # transformers rebuilds the normaliser from these when it loads the folder: by default in lower case.
        **{name: tokenizer.init_kwargs[name] for name in _NORMALISING if name in tokenizer.init_kwargs},
    )
    pruned.model_input_names = list(tokenizer.model_input_names)
    return pruned


def prune_embeddings(model: SlimEncoderForSequenceClassification, kept: NDArray[np.int64]) -> None:
    """Keep the given rows of the word embeddings, in place."""
    table = model.encoder.embeddings.word
    rows = table.weight.detach()[torch.from_numpy(kept)].clone()
    table = torch.nn.Embedding(len(kept), rows.shape[1])
    table.weight = torch.nn.Parameter(rows)
    model.encoder.embeddings.word = table
    model.config.vocab_size = len(kept)


def _renumber(processor: object, new_id: dict[int, int], tokenizer: PreTrainedTokenizerBase) -> None:
    """Renumber the ids inside a post-processor's description, in place."""
    if isinstance(processor, dict):
        if processor.get("type") == "TemplateProcessing":
            for token in processor["special_tokens"].values():
                token["ids"] = [new_id[i] for i in token["ids"]]
        else:
            for key in ("sep", "cls"):
                if key in processor:
                    processor[key] = [processor[key][0], new_id[processor[key][1]]]
            for child in processor.get("processors", []):
                _renumber(child, new_id, tokenizer)
