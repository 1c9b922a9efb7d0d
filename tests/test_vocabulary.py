"""Vocabulary pruning on the packaged encoder's real tokenizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sec_rl.compression.loading import load_dense
from sec_rl.compression.vocabulary import needed_tokens, prune_embeddings, prune_tokenizer
from sec_rl.encoders import resolve_encoder

TEXTS = ["a gorgeous, witty film", "the plot is thin and the jokes are stale", "who wrote it ?"]


@pytest.fixture(scope="module")
def parts():  # type: ignore[no-untyped-def]
    """Return model and tokenizer before, kept ids, and model and tokenizer after."""
    source = resolve_encoder("minilm-l6")
    model, tokenizer = load_dense(source, ["no", "yes"], 0)
    kept = needed_tokens(tokenizer, TEXTS, 128, n_common=500)
    assert kept is not None
    smaller, _ = load_dense(source, ["no", "yes"], 0)
    prune_embeddings(smaller, kept)
    return model.eval(), tokenizer, kept, smaller.eval(), prune_tokenizer(tokenizer, kept)


def test_pool_texts_keep_their_encoding_and_logits(parts) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer, kept, smaller, pruned = parts
    assert len(kept) < 0.2 * len(tokenizer)
    old = tokenizer(TEXTS, padding=True, return_tensors="pt")
    new = pruned(TEXTS, padding=True, return_tensors="pt")
    assert np.array_equal(kept[new["input_ids"].numpy()], old["input_ids"].numpy())
    with torch.inference_mode():
        torch.testing.assert_close(smaller(**new).logits, model(**old).logits)


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=60))
def test_any_text_still_has_an_encoding(parts, text: str) -> None:  # type: ignore[no-untyped-def]
    _, tokenizer, kept, _, pruned = parts
    ids = pruned(text)["input_ids"]
    assert max(ids) < len(kept)
    # Nothing becomes unknown that the full vocabulary knew.
    unknown_before = tokenizer(text)["input_ids"].count(tokenizer.unk_token_id)
    assert ids.count(pruned.unk_token_id) == unknown_before


def test_saved_tokenizer_is_the_same(parts, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer

    pruned = parts[4]
    pruned.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS, ["x", "y", "z"]) == pruned(TEXTS, ["x", "y", "z"])


def test_a_cased_tokenizer_stays_cased_where_transformers_loads_it(parts, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer

    _, tokenizer, kept, _, _ = parts
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    description["normalizer"]["lowercase"] = False
    cased = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)),
        do_lower_case=False,
        **tokenizer.special_tokens_map,
    )
    pruned = prune_tokenizer(cased, kept)
    pruned.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    # The packaged vocabulary is one of lower case: a capital is unknown to it, unless it was made small.
    assert again("Witty")["input_ids"] == pruned("Witty")["input_ids"]
    assert pruned.unk_token_id in again("Witty")["input_ids"]
    assert again("witty")["input_ids"] == pruned("witty")["input_ids"]
    assert pruned.unk_token_id not in again("witty")["input_ids"]


def test_pieces_count_as_far_as_a_text_is_read() -> None:
    """The packaged tokenizer's file cuts at 128 and pads to it; a run may read further."""
    _, tokenizer = load_dense(resolve_encoder("minilm-l6"), ["no", "yes"], 0)
    late = tokenizer.convert_tokens_to_ids("zeppelin")
    assert late != tokenizer.unk_token_id
    text = " ".join(["the"] * 200 + ["zeppelin"])
    for max_length, kept in ((128, False), (512, True)):
        found = needed_tokens(tokenizer, [text], max_length, n_common=10)
        assert found is not None
        assert (late in found) == kept
