"""What becomes of each argument of the LMM's ``generate`` when an answer is to be grounded.

Those that work give the tokens of the bare LMM; those that cannot are refused by name before anything is read. The
table holds every argument of transformers 4.48 to 5.24; docs/chat.md shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import transformers
from transformers import GenerationConfig

from flmm_plugin.errors import UserError

#: Works beside the keys and values that a conversation keeps.
WORKS = frozenset(
    'max_new_tokens max_length min_new_tokens min_length max_time stop_strings eos_token_id pad_token_id bos_token_id '
    'forced_eos_token_id do_sample temperature top_k top_p top_h min_p typical_p epsilon_cutoff eta_cutoff '
    'repetition_penalty encoder_repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids '
    'suppress_tokens begin_suppress_tokens sequence_bias renormalize_logits remove_invalid_values '
    'exponential_decay_length_penalty guidance_scale watermarking_config '
    'generation_config logits_processor stopping_criteria prefix_allowed_tokens_fn streamer negative_prompt_ids '
    'negative_prompt_attention_mask use_model_defaults'.split()
)
#: Works; ``generate`` then keeps keys and values of its own, and the prompt is read once more to ground the answer.
ALONE = frozenset(
    'num_beams use_cache cache_implementation cache_config prompt_lookup_num_tokens assistant_model'.split()
)
#: Says something only together with another argument, about encoders, or nothing at all: handed on.
NO_EFFECT = frozenset(
    'length_penalty early_stopping low_memory compile_config disable_compile max_cache_len forced_bos_token_id '
    'decoder_start_token_id is_assistant num_assistant_tokens num_assistant_tokens_schedule '
    'assistant_confidence_threshold assistant_early_exit assistant_lookbehind target_lookbehind '
    'assistant_ensemble_weight speculation_type max_matching_ngram_size continuous_batching_config synced_gpus '
    'tokenizer generation_kwargs transformers_version'.split()
)
OBJECT = 'the answer comes back as a GroundedAnswer; model.lmm.answer gives what generate itself returns'
DOWNLOADED = 'transformers has moved this way of decoding out of the library, into code that it would download'
MADE_HERE = 'it is made from the picture and the question'
#: Is refused, and why.
REFUSED = {
    'num_return_sequences': 'one answer is grounded: ask once for each, under do_sample=True they differ',
    **dict.fromkeys(('return_dict_in_generate', 'output_scores', 'output_logits', 'return_legacy_cache'), OBJECT),
    **dict.fromkeys(('output_attentions', 'output_hidden_states'), OBJECT),
    **dict.fromkeys(('penalty_alpha', 'dola_layers', 'num_beam_groups', 'diversity_penalty'), DOWNLOADED),
    **dict.fromkeys(('constraints', 'force_words_ids', 'custom_generate', 'forced_decoder_ids'), DOWNLOADED),
    'token_healing': 'it would rewrite the end of the prompt',
    'prefill_chunk_size': 'transformers loses the picture between the chunks',
    'use_mtp': 'it needs layers that are not read here',
    **dict.fromkeys(('inputs', 'input_ids', 'attention_mask', 'past_key_values', 'pixel_values'), MADE_HERE),
    'assistant_tokenizer': "the assistant must have the LMM's own tokenizer",
}
KNOWN = WORKS | ALONE | NO_EFFECT | REFUSED.keys()


class ArgumentError(UserError, ValueError):
    """An argument that an answer cannot be generated with; the message says which and why."""


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse what is unknown, or cannot be grounded.

    Raises:
        ArgumentError: names the argument.
    """
    for name in arguments:
        if name not in KNOWN:
            close = get_close_matches(name, KNOWN - REFUSED.keys(), n=1)
            hint = f': did you mean {close[0]}?' if close else ''
            raise ArgumentError(f'{name} is no argument of generate that is known here{hint}')
    config = arguments.get('generation_config')
    if config is not None and not isinstance(config, GenerationConfig):
        raise ArgumentError(f"generation_config must be transformers' GenerationConfig, got {type(config).__name__}")
    for name, reason in REFUSED.items():
        if any(says_something(value) for value in (arguments.get(name), getattr(config, name, None))):
            raise ArgumentError(f'{name} is not possible here: {reason}')


@contextmanager
def blamed_on(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Around ``generate``: where this release, or its class for this LMM, fails with the arguments, name them.

    Raises:
        ArgumentError: with what transformers said.
    """
    given = [name for name, value in arguments.items() if value is not None]
    try:
        yield
    except UserError:
        raise
    except (AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError) as error:
        if not given:
            raise
        version = f'transformers {transformers.__version__}'
        raise ArgumentError(f'{version} cannot answer with {", ".join(given)}: {error}') from error


def says_something(value: Any) -> bool:
    """Not None, False, or the 0 or 1 that numbers of ``generate`` begin at."""
    return value is not None and value is not False and (value is True or not _is_neutral(value))


def _is_neutral(value: Any) -> bool:
    return isinstance(value, (int, float)) and value in (0, 1)
