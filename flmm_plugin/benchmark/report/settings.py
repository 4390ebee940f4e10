"""How much is measured: on a GPU the real thing, in a dry run as little as goes through every part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flmm_plugin.benchmark.subject import PresetSubject


@dataclass(frozen=True)
class Settings:
    """``device``: of everything. ``presets``: in this order. ``seconds``: the parts' shares of a whole run's time.

    ``tokens``: the lengths of ``extract``; the other parts take the first. ``batches``: of ``extract``; training takes
    the largest. ``phrases``: of a text, of a training sample and of an answer; ``decoded``: masks that SAM's decoder
    makes at once. ``repeats``: times are medians of so many rounds, of ``steps`` those of training. ``tests``: what of
    the tests is run.
    """

    device: str
    presets: tuple[str, ...]
    tokens: tuple[int, ...]
    batches: tuple[int, ...]
    phrases: int
    decoded: int
    repeats: int
    steps: int
    tests: tuple[str, ...]
    seconds: dict[str, float]

    def subjects(self) -> Sequence[tuple[str, PresetSubject]]:
        return [(name, PresetSubject(name, device=self.device)) for name in self.presets]


GPU = Settings(
    device='cuda',
    presets=('llava-1.5-7b', 'llava-next-7b', 'qwen2.5-vl-7b'),
    tokens=(700, 1500, 3000),
    batches=(1, 8),
    phrases=6,
    decoded=16,
    repeats=5,
    steps=3,
    tests=('tests/test_models',),
    seconds=dict(tests=150, extract=170, test=60, train=240, chat=90),  # 11.8 minutes in all
)
DRY = Settings(
    device='cpu',
    presets=('tiny', 'tiny-qwen2.5-vl'),
    tokens=(90,),
    batches=(2,),
    phrases=2,
    decoded=3,
    repeats=1,
    steps=1,
    tests=('tests/test_models/test_conformance.py::test_a_training_step',),
    seconds=dict(tests=60, extract=60, test=40, train=90, chat=40),
)


def settings_for(device: str, dry: bool) -> Settings:
    """Those of a dry run, or those of a GPU on that one."""
    return DRY if dry else Settings(**{**vars(GPU), 'device': device})
