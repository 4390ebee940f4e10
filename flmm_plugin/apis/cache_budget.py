"""How much the keys and values of all conversations may take together."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from torch import Tensor
from transformers import Cache

if TYPE_CHECKING:
    from flmm_plugin.apis.conversation import Conversation

MAX_CACHE_BYTES = 8 * 2**30


class CacheBudget:
    """Lets the conversation that was used the longest ago forget its keys and values where all take too much.

    It reads its text and image again when it goes on. The one in use always keeps its own. Conversations are not kept
    alive here.
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._last_used: OrderedDict[int, ReferenceType[Conversation]] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        return sum(conversation.cache_bytes for conversation in self._alive())

    def use(self, conversation: Conversation) -> None:
        """To be called under the model's lock when a conversation's cache has grown."""
        self._last_used[id(conversation)] = ref(conversation)
        self._last_used.move_to_end(id(conversation))
        for oldest in self._alive()[:-1]:
            if self.num_bytes <= self.max_bytes:
                break
            oldest.forget()

    def _alive(self) -> list[Conversation]:
        found = {key: one() for key, one in self._last_used.items()}
        for key in [key for key, one in found.items() if one is None]:
            del self._last_used[key]
        return [one for one in found.values() if one is not None]


def cache_bytes(past: Cache) -> int:
    """Bytes of a cache's keys and values."""
    if hasattr(past, 'layers'):
        tensors = [getattr(layer, name, None) for layer in past.layers for name in ('keys', 'values')]
    else:  # before transformers 4.54
        tensors = [*past.key_cache, *past.value_cache]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))
