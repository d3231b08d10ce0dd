"""Tiny checkpoints with random weights and a tokenizer of single characters, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.evaluators.architectures import ARCHITECTURES

SPECIAL = ["<pad>", "<s>", "<unk>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 \n.,?+=é"

# Ends every turn with <|end|> and a newline that belongs to no turn.
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(
    *, template: str | None = TEMPLATE, bos: bool = True, eos: bool = True
) -> PreTrainedTokenizerFast:
    """One token a character. With `bos`, encoding puts <s> first unless told not to."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
        )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>" if bos else None,
        eos_token="<|end|>" if eos else None,
        extra_special_tokens=SPECIAL[-3:],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    return fast


def make_model(kind: str) -> PreTrainedModel:
    """A model with large random weights, so that its choices are far from ties.

    It hardly ever says a special token other than <|end|>.
    """
    model = _random_model(kind)
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for token in range(len(SPECIAL)):
            head.weight[token] *= 1.0 if SPECIAL[token] == "<|end|>" else 0.1
    return model


def _random_model(kind: str) -> PreTrainedModel:
    architecture = ARCHITECTURES[kind]
    size = len(SPECIAL) + len(LETTERS)
    config = AutoConfig.for_model(architecture.model_type, vocab_size=size, **architecture.config)
    torch.manual_seed(20)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    assert isinstance(model, PreTrainedModel)
    return model


def save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    eos: tuple[int, ...] = (3,),
) -> Path:
    """Writes a checkpoint as a trainer does."""
    model.generation_config = GenerationConfig(eos_token_id=list(eos), pad_token_id=0)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    return folder
