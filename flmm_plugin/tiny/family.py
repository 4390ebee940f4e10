"""What the training recipe of the tiny LMMs asks of a class of LMMs.

Shape shorthand: B pictures of one size, T image tokens of a picture, D hidden width, N tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from flmm_plugin.datasets.scenes import language
from flmm_plugin.datasets.scenes.world import IMAGE_SIZE

MEAN, STD = 0.5, 0.25
Picture = NDArray[np.uint8]


class TinyFamily(ABC):
    """A class of LMMs of transformers, in small. It knows nothing of training, and training nothing of it."""

    #: its class in transformers
    model: type[PreTrainedModel]
    #: (height, width) of the scenes it learns from
    canvases: Sequence[tuple[int, int]] = ((IMAGE_SIZE, IMAGE_SIZE),)
    #: the same for pictures of one thing
    small: tuple[int, int] = (96, 96)

    @abstractmethod
    def build_processor(self) -> ProcessorMixin:
        """Its own processor, with a word-level tokenizer over the scenes' vocabulary."""

    @abstractmethod
    def build_model(self, processor: ProcessorMixin, width: int = 128, layers: int = 4) -> PreTrainedModel:
        """A vision tower and a language model of ``layers`` layers each, with random weights."""

    @abstractmethod
    def pixels(self, processor: ProcessorMixin, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """What the vision tower takes of RGB ``pictures`` (H, W, 3) of one size."""

    @abstractmethod
    def tower(self, model: Any) -> nn.Module:
        """The part of ``model`` that learns to see."""

    @abstractmethod
    def init_tower(self, tower: Any, pixels: dict[str, Tensor]) -> None:
        """Start the tower so that it sees, from a sample of pictures."""

    @abstractmethod
    def read(self, tower: Any, pixels: dict[str, Tensor]) -> Tensor:
        """Features of every place of the pictures, (B, places, D), that words are read from."""

    @abstractmethod
    def image_tokens(self, model: Any, pixels: dict[str, Tensor]) -> Tensor:
        """What the language model gets for the pictures, (B, T, D)."""

    @abstractmethod
    def num_tokens(self, pixels: dict[str, Tensor]) -> int:
        """T."""

    @abstractmethod
    def positions(self, model: Any, ids: Tensor, pixels: dict[str, Tensor]) -> Tensor:
        """Positions of the token ``ids`` (N,) up to the image's end: (N,), or (3, N) where they are multimodal."""

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        """Both as transformers saves them."""
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


def build_tokenizer(special: Sequence[str], end: str, **options: Any) -> PreTrainedTokenizerFast:
    """A token for each word of the scenes; ``special`` ones first, ``end`` among them, which ends an answer."""
    words = {word: index for index, word in enumerate([*special, *language.vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token='<unk>'))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',
        eos_token=end,
        pad_token='<pad>',
        model_input_names=['input_ids', 'attention_mask'],  # no token types
        clean_up_tokenization_spaces=True,
        padding_side='left',
        **options,
    )


def text_sizes(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> dict[str, Any]:
    """The language model's dimensions in transformers' terms; its heads are 16 wide."""
    return dict(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=5 * width // 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 16,
        num_key_value_heads=width // 16,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
