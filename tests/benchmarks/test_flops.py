"""The count of operations, against counts by hand."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.flops import (
    Product,
    Scored,
    Shape,
    attention_flops,
    product_flops,
    scoring_flops,
    shape_of,
    span_flops,
)

# Two layers, the first with a window of 2; hidden 4, feed-forward 6, 2 heads of 3 and 1 for keys.
SHAPE = Shape(4, 6, 2, 1, 3, vocabulary=10, windows=(2, None))

# By hand, a layer: queries 4 x 6, keys and values 4 x 3 each, output 6 x 4, gate and up 4 x 6 each,
# down 6 x 4, which is 24 + 12 + 12 + 24 + 24 + 24 + 24 = 144 weights, 2 operations each.
LAYERS = 2 * 144 * 2


def test_a_token_costs_two_operations_a_weight() -> None:
    assert product_flops(Product(4, 6, 1)) == 48
    assert sum(map(product_flops, SHAPE.layers)) == LAYERS
    assert product_flops(SHAPE.head) == 80


def test_attention_sees_what_came_before_within_the_window() -> None:
    # 2 heads of width 3: 6 numbers a key, and a product each for scores and values: 24 a key.
    assert attention_flops(SHAPE, 0) == 24 * (1 + 1)
    assert attention_flops(SHAPE, 1) == 24 * (2 + 2)
    assert attention_flops(SHAPE, 4) == 24 * (2 + 5)


def test_a_span_is_the_sum_of_its_tokens() -> None:
    assert span_flops(SHAPE, 3, 3) == 0
    assert span_flops(SHAPE, 0, 2) == 2 * LAYERS + 24 * 6


def test_scoring_reads_each_prompt_once_and_never_a_targets_last_token() -> None:
    # A prompt of 2 tokens with targets of 1 and 2: tokens at 0, 1, and 2 for the second target.
    # Attention: keys 1+1, 2+2, 2+3. The head runs for 1 + 2 target tokens.
    expected = 3 * LAYERS + 24 * (2 + 4 + 5) + 3 * 80
    assert scoring_flops(SHAPE, [Scored(2, [1, 2])]) == expected


def test_a_shape_is_read_from_a_checkpoints_configuration(tmp_path: Path) -> None:
    config = {
        "hidden_size": 4,
        "intermediate_size": 6,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 3,
        "vocab_size": 10,
        "num_hidden_layers": 2,
        "sliding_window": 2,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert shape_of(tmp_path) == SHAPE


def test_a_configuration_without_windows_and_groups_has_full_attention(tmp_path: Path) -> None:
    config = {
        "hidden_size": 8,
        "intermediate_size": 6,
        "num_attention_heads": 2,
        "vocab_size": 10,
        "num_hidden_layers": 1,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert shape_of(tmp_path) == Shape(8, 6, 2, 2, 4, 10, (None,))
