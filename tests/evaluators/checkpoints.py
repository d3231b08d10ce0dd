"""Tiny checkpoints with random weights and a tokenizer of single characters, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CONTEXT = 128
WINDOW = 8
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
    shape: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + len(LETTERS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 3,
    }
    rope = {
        **shape,
        "intermediate_size": 64,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
    }
    torch.manual_seed(20)
    match kind:
        case "llama":
            return LlamaForCausalLM(LlamaConfig(**rope))
        case "qwen3":
            return Qwen3ForCausalLM(Qwen3Config(**{**rope, "tie_word_embeddings": True}))
        case "gpt2":
            gpt = {**shape, "n_positions": CONTEXT}
            return GPT2LMHeadModel(GPT2Config(**gpt))
        case "gemma3":
            layers = ["sliding_attention", "full_attention"]
            window = {"sliding_window": WINDOW, "layer_types": layers}
            capped = {**rope, **window, "final_logit_softcapping": 5.0}
            return Gemma3ForCausalLM(Gemma3TextConfig(**capped))
        case "cohere":
            return CohereForCausalLM(CohereConfig(**{**rope, "logit_scale": 0.5}))
        case "granite":
            return GraniteForCausalLM(GraniteConfig(**{**rope, "logits_scaling": 3.0}))
        case "bloom":
            return BloomForCausalLM(BloomConfig(**shape))
        case "mamba":
            return MambaForCausalLM(MambaConfig(**{**shape, "state_size": 8}))
    raise ValueError(kind)


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
