"""A model that sees what it is asked to foretell is refused, whatever numbers it would give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from errors import ModelLoadFault
from evaluators.causality import require_causal
from evaluators.engine import load
from tests.evaluators.checkpoints import make_tokenizer, save
from tests.evaluators.checks import settings
from tests.evaluators.conftest import Checkpoint


def bert(*, is_decoder: bool) -> PreTrainedModel:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=52,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=32,
        initializer_range=0.5,
        is_decoder=is_decoder,
    )
    model: PreTrainedModel = BertLMHeadModel(config).eval()  # type: ignore[no-untyped-call]
    return model


def refusal(folder: Path) -> str:
    with pytest.raises(ModelLoadFault) as fault:
        load(folder, settings())
    assert str(folder) in str(fault.value)
    return str(fault.value)


def test_a_masked_language_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path, bert(is_decoder=False))
    said = refusal(tmp_path)
    assert "(BertLMHeadModel) sees the tokens that it is asked to foretell" in said


def test_the_same_architecture_as_a_causal_model_is_not(tmp_path: Path) -> None:
    require_causal(bert(is_decoder=True), tmp_path)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_changes_nothing_about_it(
    checkpoint: Checkpoint, tmp_path: Path, dtype: str
) -> None:
    for kind in ("llama", "mixtral", "mamba"):
        assert load(checkpoint(kind), settings(dtype=dtype)).dtype == dtype
    save(tmp_path, bert(is_decoder=False))
    with pytest.raises(ModelLoadFault, match="foretell"):
        load(tmp_path, settings(dtype=dtype))


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    config = T5Config(vocab_size=52, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert "is of t5, which has an encoder and a decoder" in refusal(tmp_path)
