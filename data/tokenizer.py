"""The demo model's own tokenizer: a token a character, and a chat template with three markers."""

from __future__ import annotations

import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD = "<|pad|>"
UNKNOWN = "<|unknown|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
END = "<|end|>"

POSITIONS = 128

SPECIAL = (PAD, UNKNOWN, USER, ASSISTANT, END)
CHARACTERS = string.printable[:95] + "\n"

# {% generation %} marks what the assistant says, so that training can take its loss there only.
CHAT_TEMPLATE = f"""\
{{%- for message in messages -%}}
{{%- if message.role == "assistant" -%}}
{{{{- "{ASSISTANT}" -}}}}
{{%- generation -%}}{{{{- message.content + "{END}" -}}}}{{%- endgeneration -%}}
{{%- else -%}}
{{{{- "{USER}" + message.content + "{END}" -}}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}{{{{- "{ASSISTANT}" -}}}}{{%- endif -%}}
"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer over printable ASCII; `<|end|>` ends every turn and is its end-of-text token."""
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        extra_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=POSITIONS,
        padding_side="right",
    )
