"""The model card of a trained model: what it is, its figures and how to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import ModelCardData

PAPER = 'https://arxiv.org/abs/2406.05821'
CARD = """---
{data}
---

# {title}

What is trained of [F-LMM]({paper}) on `{lmm}`: the mask head{refiner}. The LMM itself is frozen, is not in this
folder, and answers as it always did; this turns its attention into masks of what it talks about.

```python
from flmm_plugin.apis import FLMMInferencer

ask = FLMMInferencer.from_pretrained('{name}')
result = ask('picture.jpg', 'Describe the image.')
```

| | |
| --- | --- |
| LMM | `{lmm}`{revision} |
| fingerprint of its weights | `{fingerprint}` |
| trained on | {training_data} |

## Figures

{figures}

{command}

## Intended use

Research on grounding, and labelling that people check. The masks show what the LMM attends to while it names a thing:
they inherit its mistakes and biases, and a mask is no proof that the thing is there. Not for decisions about people.
"""


#: How what is in a folder is tested by the config that it was trained by.
REPEAT = 'python tools/export.py {name} {file}.pth\npython tools/test.py {config} {file}.pth'
#: How to state what is not known.
STATE = '`save_pretrained(DIR, model_card_kwargs=dict({field}=...))` or `tools/export.py --{option}` states it'


@dataclass(frozen=True)
class TrainedModel:
    """What a checkpoint does not say of itself.

    ``metrics`` are those of ``metrics.json``, whose names say metric and protocol; ``command`` repeats the test, by
    default by the config it was trained by; so are ``training_data`` by default what it was trained on, where known.
    """

    name: str = 'DIR'
    training_data: str = ''
    metrics: Mapping[str, float] = field(default_factory=dict)
    test_data: str = ''
    command: str = ''
    license: str | None = None


def write_card(model: Mapping[str, Any], trained_on: Mapping[str, str], about: TrainedModel) -> str:
    """The card's text, with the head that the Hub reads."""
    data = ModelCardData(
        license=about.license,
        library_name='flmm_plugin',
        pipeline_tag='image-segmentation',
        tags=['grounding', 'referring-segmentation', 'f-lmm'],
    )
    lmm = trained_on.get('name', 'an LMM')
    return CARD.format(
        data=data.to_yaml(),
        title=f'F-LMM on {lmm.split("::")[-1].split("/")[-1]}',
        paper=PAPER,
        lmm=lmm,
        name=about.name,
        refiner=' and the decoder of its refiner' if model.get('refiner') else '',
        revision=f', revision `{trained_on["revision"]}`' if 'revision' in trained_on else '',
        fingerprint=trained_on.get('fingerprint') or 'unknown',
        training_data=about.training_data or trained_on.get('data') or _missing('training_data'),
        figures=_figures(about),
        command=_repeat(about, trained_on.get('config', '')),
    )


def _figures(about: TrainedModel) -> str:
    if not about.metrics:
        return f'Figures: {_missing("metrics")}.'
    rows = '\n'.join(f'| `{name}` | {value:.4f} |' for name, value in sorted(about.metrics.items()))
    test_data = about.test_data or _missing('test_data')
    return f'Test data: {test_data}.\n\n| metric/protocol/figure | |\n| --- | --- |\n{rows}'


def _repeat(about: TrainedModel, config: str) -> str:
    command = about.command
    if not command and config:
        command = REPEAT.format(name=about.name, file=about.name.split('/')[-1], config=config)
    return f'```bash\n{command}\n```' if command else f'The command that repeats the test: {_missing("command")}.'


def _missing(field: str) -> str:
    return f'not stated ({STATE.format(field=field, option=field.replace("_", "-"))})'
