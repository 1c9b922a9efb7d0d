"""What is removed, what comes back, and how weights and optimizer state follow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sec_rl.compression.allocation import choose_shape
from sec_rl.compression.cost_table import CostTable, analytic_table, with_bytes
from sec_rl.compression.export import build_onnx
from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.latency_table import block_models, block_widths, table_from_times
from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vault import Vault, build_model
from sec_rl.compression.widths import NEURON_GROUP
from sec_rl.measurement import onnx_session
from sec_rl.measurement.onnx_session import session_options
from sec_rl.training.optimizer import make_optimizer, optimizer_state

DENSE = EncoderShape.dense(4, 8, 256)
TABLE = with_bytes(analytic_table(64, 8, 256), 64, 8, 0.25)


def scored(seed: int = 0) -> ImportanceTracker:
    """Return random importances."""
    tracker = ImportanceTracker(DENSE, "first-order")
    generator = np.random.default_rng(seed)
    tracker.heads = 8.0 * generator.random(tracker.heads.shape)
    tracker.neurons = generator.random(tracker.neurons.shape)
    return tracker


@settings(max_examples=40)
@given(st.floats(0.01, 0.95), st.integers(0, 5))
def test_ratio_is_reached_and_hardly_exceeded(ratio: float, seed: int) -> None:
    shape = choose_shape(DENSE, scored(seed), TABLE, ratio)
    removed = TABLE.removed_share(shape)
    assert ratio - 1e-9 <= removed <= ratio + 0.05


@settings(max_examples=25)
@given(st.lists(st.floats(0.0, 0.9), min_size=2, max_size=6))
def test_what_is_kept_is_nested(ratios: list[float]) -> None:
    """More compression only takes away, less only gives back."""
    shape, importance = DENSE, scored()
    for ratio in ratios:
        new = choose_shape(shape, importance, TABLE, ratio)
        shrinks = TABLE.prunable_cost(new) <= TABLE.prunable_cost(shape)
        small, large = (new, shape) if shrinks else (shape, new)
        for a, b in zip(small.layers, large.layers, strict=True):
            assert set(a.heads) <= set(b.heads)
            assert set(a.neurons) <= set(b.neurons)
        shape = new


@settings(max_examples=40)
@given(st.floats(0.01, 0.97), st.integers(0, 5), st.floats(0.0, 1.0))
def test_who_asks_for_the_ratio_there_is_keeps_what_there_is(ratio: float, seed: int, depth_share: float) -> None:
    importance = scored(seed)
    shape = choose_shape(DENSE, importance, TABLE, ratio, depth_share=depth_share)
    removed = TABLE.removed_share(shape)
    assert choose_shape(shape, scored(seed + 1), TABLE, removed, depth_share=depth_share) == shape


def test_the_unimportant_goes_first() -> None:
    importance = scored()
    importance.neurons[2] = 1e-6
    importance.heads[1] = 1e-6
    shape = choose_shape(DENSE, importance, TABLE, 0.2)
    removed = [(8 - len(layer.heads), 256 - len(layer.neurons)) for layer in shape.layers]
    assert removed[0] == removed[3] == (0, 0)
    assert removed[1][0] + removed[2][1] > 0
    assert removed[1][1] == removed[2][0] == 0


def test_choice_is_near_the_optimum_of_brute_force() -> None:
    """Against every combination of widths of a small encoder."""
    dense = EncoderShape.dense(2, 2, 64)
    table = analytic_table(32, 2, 64, fixed_share=0.0)
    importance = ImportanceTracker(dense, "first-order")
    generator = np.random.default_rng(3)
    importance.heads, importance.neurons = 20 * generator.random((2, 2)), generator.random((2, 64))
    budget = 0.5 * table.prunable_cost(dense)

    def kept(scores: NDArray[np.float64], n: int) -> float:
        return float(np.sort(scores)[::-1][:n].sum())

    best = 0.0
    for index in np.ndindex(3, 3, 3, 3):
        h0, h1, g0, g1 = index
        cost = table.attention[h0] + table.last_attention[h1] + table.ffn[32 * g0] + table.last_ffn[32 * g1]
        if cost <= budget:
            value = kept(importance.heads[0], h0) + kept(importance.heads[1], h1)
            value += kept(importance.neurons[0], 32 * g0) + kept(importance.neurons[1], 32 * g1)
            best = max(best, value)
    shape = choose_shape(dense, importance, table, 0.5)
    reached = sum(
        kept(importance.heads[i], len(layer.heads)) + kept(importance.neurons[i], len(layer.neurons))
        for i, layer in enumerate(shape.layers)
    )
    assert reached == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_worthless_scores_remove_no_more_than_asked(ratio: float) -> None:
    """Before the first training step nothing has a score; a run may prune all the same."""
    shape = choose_shape(DENSE, ImportanceTracker(DENSE, "first-order"), TABLE, ratio)
    assert ratio - 1e-9 <= TABLE.removed_share(shape) <= ratio + 0.05


def test_before_training_the_light_structures_go_first() -> None:
    model = small_model()
    with torch.no_grad():
        dict(model.named_parameters())["encoder.layers.1.ffn_out.weight"][:, 32:] *= 1e-3
    tracker = ImportanceTracker(DENSE, "first-order")
    tracker.start_from_weights(model, DENSE)
    shape = choose_shape(DENSE, tracker, TABLE, 0.1)
    assert len(shape.layers[1].neurons) < 256
    assert set(range(32)) <= set(shape.layers[1].neurons)


def test_what_went_before_the_first_step_is_ranked_on_the_scale_of_the_rest() -> None:
    """Norms are a thousand times as large as gradients; blocks that hold some would crowd out all others."""
    model = small_model()
    tracker = ImportanceTracker(DENSE, "first-order")
    tracker.start_from_weights(model, DENSE)
    shape = choose_shape(DENSE, tracker, TABLE, 0.7)
    smaller = build_model(Vault(model.config, dict(model.state_dict())), shape)
    ids = torch.randint(5, 50, (4, 6), generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        smaller.zero_grad()
        logits = smaller(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        (1e-3 * torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1]))).backward()  # type: ignore[no-untyped-call]
        tracker.update(smaller, shape)
        for scores, kept in (
            (tracker.heads, [layer.heads for layer in shape.layers]),
            (tracker.neurons, [layer.neurons for layer in shape.layers]),
        ):
            here = np.zeros(scores.shape, np.bool_)
            for row, places in zip(here, kept, strict=True):
                row[list(places)] = True
            assert not here.all()
            # They went because they were light.
            assert 0.0 < scores[~here].mean() < scores[here].mean()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.0, 0.999), st.floats(0.0, 1.0)), min_size=1, max_size=5), st.integers(0, 5))
def test_a_head_stays_whatever_goes(asked: list[tuple[float, float]], seed: int) -> None:
    """Without any attention the first position, which the classifier reads, says the same of every text."""
    shape, importance = DENSE, scored(seed)
    for ratio, depth_share in asked:
        shape = choose_shape(shape, importance, TABLE, ratio, depth_share=depth_share)
        assert any(layer.heads for layer in shape.layers)


def test_depth_share_drops_whole_layers() -> None:
    assert all(layer.present for layer in choose_shape(DENSE, scored(), TABLE, 0.5).layers)
    shape = choose_shape(DENSE, scored(), TABLE, 0.5, depth_share=1.0)
    assert [layer.present for layer in shape.layers].count(False) == 2
    assert shape.layers[0].present


def dear_blocks(overhead: float) -> CostTable:
    """Return a table in which every block that is there costs `overhead` of a dense one, whatever its width."""
    curves = []
    for count in (8, 256):
        widths = np.arange(count + 1) / count
        curves.append(np.where(widths == 0.0, 0.1 * overhead, overhead + (1.0 - overhead) * widths))
    attention, ffn = curves
    return CostTable(attention, ffn, 0.5 * attention, 0.2 * ffn, 0.0, "relative")


def test_a_layer_goes_where_narrow_blocks_everywhere_would_lose_more() -> None:
    importance = scored()
    importance.heads[3] *= 0.3
    importance.neurons[3] *= 0.3

    def skipped(overhead: float, ratio: float) -> list[int]:
        shape = choose_shape(DENSE, importance, dear_blocks(overhead), ratio)
        return [i for i, layer in enumerate(shape.layers) if not layer.present]

    assert skipped(0.25, 0.6) == [3]
    assert skipped(0.25, 0.3) == []
    # Beyond what any widths could reach.
    assert len(skipped(0.5, 0.9)) > 1


@settings(max_examples=25)
@given(st.lists(st.floats(0.05, 0.9), min_size=1, max_size=4), st.integers(0, 5))
def test_a_skipped_layer_leaves_little_of_the_budget(ratios: list[float], seed: int) -> None:
    """What was narrowed before cannot spend what a layer frees."""
    shape, importance, table = DENSE, scored(seed), dear_blocks(0.25)
    for ratio in sorted(ratios):
        shape = choose_shape(shape, importance, table, ratio)
        assert ratio - 1e-9 <= table.removed_share(shape) <= ratio + 0.06


def test_a_coarse_encoder_loses_no_layer_for_half_of_its_cost() -> None:
    dense = EncoderShape.dense(2, 2, 32)
    importance = ImportanceTracker(dense, "first-order")
    importance.heads, importance.neurons = np.ones((2, 2)), np.ones((2, 32))
    importance.heads[1] *= 0.1
    importance.neurons[1] *= 0.1
    table = with_bytes(analytic_table(32, 2, 32), 32, 2, 0.25)
    assert all(layer.present for layer in choose_shape(dense, importance, table, 0.5).layers)


def test_a_skipped_layer_returns_when_the_ratio_falls() -> None:
    importance, table = scored(), dear_blocks(0.25)
    small = choose_shape(DENSE, importance, table, 0.85)
    assert any(not layer.present for layer in small.layers)
    large = choose_shape(small, importance, table, 0.1)
    assert all(layer.present and layer.heads for layer in large.layers)
    assert table.removed_share(large) == pytest.approx(0.1, abs=0.05)


def test_noise_free_table_rises_with_width() -> None:
    table: CostTable = TABLE
    for curve in (table.attention, table.ffn, table.last_attention, table.last_ffn):
        assert (np.diff(curve) >= 0).all()


def test_a_block_that_keeps_a_single_structure_is_not_taken_for_nearly_free() -> None:
    """Most of what a narrow block costs it costs at any width; a line from nothing to an eighth would hide that."""
    config = small_model().config
    heads, neurons = block_widths(config)
    assert {0, 1, config.num_attention_heads} <= set(heads.tolist())
    assert {0, NEURON_GROUP, config.intermediate_size} <= set(neurons.tolist())
    times = np.concatenate([np.where(widths == 0, 0.1, 1.0) for widths in (heads, neurons, heads, neurons)])
    table = table_from_times(config, times, 0.02)
    for curve, narrowest in ((table.attention, 1), (table.ffn, NEURON_GROUP)):
        assert curve[[0, narrowest, -1]] == pytest.approx([0.1, 1.0, 1.0])


def test_blocks_are_timed_as_the_whole_model_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes fuse more where shapes are fixed; a table of other operators would predict another model."""
    options = session_options(1)
    operators = []
    config = small_model().config
    whole = build_onnx(small_model(), quantized=True)
    for index, graph in enumerate([*block_models(config, batch=2, length=4), whole]):
        source, optimized = tmp_path / f"{index}.onnx", tmp_path / f"{index}-optimized.onnx"
        source.write_bytes(graph.SerializeToString())
        options.optimized_model_filepath = str(optimized)
        monkeypatch.setattr(onnx_session, "session_options", lambda _: options)
        onnx_session.open_session(source, threads=1)
        operators.append({node.op_type for node in onnx.load(optimized).graph.node})
    blocks = set[str]().union(*operators[:-1])
    assert "LayerNormalization" in operators[-1]
    assert blocks <= operators[-1] | {"Identity"}


def small_model() -> SlimEncoderForSequenceClassification:
    """Return a dense model with DENSE's shape."""
    torch.manual_seed(0)
    config = SlimEncoderConfig(
        vocab_size=50,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=8,
        intermediate_size=256,
        max_position_embeddings=16,
    )
    return SlimEncoderForSequenceClassification(config)


def test_removed_structures_come_back_with_their_weights() -> None:
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    vault = Vault(model.config, {name: value.clone() for name, value in before.items()})
    shape = choose_shape(DENSE, scored(), TABLE, 0.6)
    slim = build_model(vault, shape)
    with torch.no_grad():
        for parameter in slim.parameters():
            parameter.add_(1.0)
    vault.absorb(slim.state_dict(), shape)
    after = build_model(vault, DENSE).state_dict()
    kept = list(shape.layers[0].neurons)
    gone = sorted(set(range(256)) - set(kept))
    name = "encoder.layers.0.ffn_in.weight"
    torch.testing.assert_close(after[name][kept], before[name][kept] + 1.0)
    torch.testing.assert_close(after[name][gone], before[name][gone])


def test_optimizer_state_is_sliced_along() -> None:
    """A step after slicing moves the kept weights just as it would have moved them in the dense model."""
    model = small_model()
    optimizer = make_optimizer(model, [1.0] * 6, None)
    inputs = {"input_ids": torch.randint(0, 50, (4, 8))}
    model.eval()
    model(**inputs, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    optimizer.step()
    state = optimizer_state(model, optimizer)
    vault = Vault(model.config, dict(model.state_dict()))
    shape = choose_shape(DENSE, scored(), TABLE, 0.4)
    slim = build_model(vault, shape)
    moments = {
        moment: Vault(model.config, dict(state[moment])).extract(shape) for moment in ("exp_avg", "exp_avg_sq")
    }
    steps = {name: torch.tensor(1.0) for name, _ in slim.named_parameters()}
    continued = make_optimizer(slim, [1.0] * 6, moments | {"step": steps})
    for other in (model, slim):
        for parameter in other.parameters():
            parameter.grad = torch.full_like(parameter, 0.01)
    optimizer.step()
    continued.step()
    expected = Vault(model.config, dict(model.state_dict())).extract(shape)
    for name, value in slim.state_dict().items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("kind", ["first-order", "fisher"])
def test_importance_finds_the_structures_that_matter(kind: Literal["first-order", "fisher"]) -> None:
    model = small_model()
    with torch.no_grad():
        # Neuron 7 of layer 1 and head 3 of layer 2 write nothing, so nothing depends on them.
        weights = dict(model.named_parameters())
        weights["encoder.layers.1.ffn_out.weight"][:, 7] = 0.0
        weights["encoder.layers.2.attention.output.weight"][:, 24:32] = 0.0
    tracker = ImportanceTracker(DENSE, kind)
    for seed in range(3):
        torch.manual_seed(seed)
        model.zero_grad()
        model(input_ids=torch.randint(0, 50, (8, 8)), labels=torch.randint(0, 2, (8,))).loss.backward()
        tracker.update(model, DENSE)
    assert tracker.neurons[1].argmin() == 7
    assert tracker.heads[2].argmin() == 3
    assert (np.delete(tracker.neurons[1], 7) > 0).all()
