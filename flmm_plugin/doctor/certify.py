"""``--certify``: does grounding work on this LMM? Each claim is checked on the model itself, with a figure and a limit.

A folder with a config and a processor but no weights is examined on a random twin with two layers.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from flmm_plugin.doctor.findings import Finding, fail, first_line, ok
from flmm_plugin.doctor.twin import save_twin

EXACT, CONTINUED = 1e-5, 1e-4
PICTURE = 'certificate.png'
REMEDY = 'do not train on this LMM with this transformers; please report it'


def certify(name: str) -> Iterator[Finding]:
    """A line a check; the first one that cannot even be made is the last one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            auto: Any = importlib.import_module('flmm_plugin.models.lmms').AutoLMM
            path = name if has_weights(name) else save_twin(name, folder)
            lmm = auto(path, dtype='float32', certify=False)
        except Exception as error:  # whatever keeps it from loading is the finding
            yield fail(f'LMM {name}', first_line(error), 'see the message')
            return
        try:
            yield from check_layout(lmm)
        except Exception as error:  # no layout at all: the rest is of no use
            yield fail('layout', first_line(error), 'see the message')
            return
        samples, before = make_samples(lmm), lmm.weights_hash()
        checks: tuple[tuple[str, Callable[[Any, Any], float], float], ...] = (
            ('capture = eager', from_eager, EXACT),
            ('batch = single', from_batch, EXACT),
            ('branch = single', from_branches, EXACT),
            ('cached = full', from_cache, CONTINUED),
            (f'causality as declared ({"causal" if lmm.causal else "not causal"})', sees_later, EXACT),
        )
        for subject, check, limit in checks:
            try:
                figure = check(lmm, samples)
            except Exception as error:
                yield fail(subject, first_line(error), REMEDY)
                continue
            detail = f'{figure:.1e} off, at most {limit:.0e}'
            yield ok(subject, detail) if figure <= limit else fail(subject, detail, REMEDY)
        same = lmm.weights_hash() == before
        yield ok('frozen', 'the weights are what they were') if same else fail('frozen', 'weights changed', REMEDY)


def has_weights(name: str) -> bool:
    path = Path(importlib.import_module('flmm_plugin.assets').resolve(name))
    return not path.is_dir() or any(file.suffix in ('.safetensors', '.bin') for file in path.iterdir())


def check_layout(lmm: Any) -> Iterator[Finding]:
    certificate: Any = importlib.import_module('flmm_plugin.models.layouts.certificate')
    for size in certificate.certifiable_sizes(lmm):
        verdict = certificate.examine(lmm, size)
        limit = 'all are needed' if verdict.exact else f'worst {verdict.worst:.2f}, at most {certificate.MAX_OFFSET}'
        if verdict.wrong:
            cells = ', '.join(f'grid {grid} row {row} column {col}' for grid, row, col in verdict.wrong[:6])
            yield fail('layout', f'{verdict}; wrong: {cells}', 'image tokens look elsewhere than measured')
        else:
            yield ok('layout', f'{verdict}; {limit}')
    draw(lmm, certificate.certifiable_sizes(lmm)[0], certificate)


def draw(lmm: Any, size: tuple[int, int], certificate: Any) -> None:
    """What was painted (every second column) on the left, how much each of the finest tokens changed on the right."""
    torch, image = importlib.import_module('torch'), importlib.import_module('PIL.Image')
    last = len(lmm.layout(size).grids) - 1
    grid = lmm.layout(size).grids[last]
    rows, cols = grid.tokens.shape
    painted = certificate.paint(grid, size, (torch.arange(cols) % 2 == 1).repeat(rows))
    start = certificate.blank(lmm, size, True)
    changed = certificate.change(lmm, painted, start, True)[certificate.grid_places(lmm, size, last)]
    answer = (changed / changed.max() * 255).byte().view(rows, cols).numpy()
    sheet = image.new('L', (2 * size[1] + 8, size[0]), 255)
    sheet.paste(image.fromarray((painted * 255).byte().numpy()), (0, 0))
    sheet.paste(image.fromarray(answer).resize(size[::-1], 0), (size[1] + 8, 0))
    sheet.save(PICTURE)


def make_samples(lmm: Any) -> list[Any]:
    """Two pictures of different shapes with texts of different lengths."""
    torch = importlib.import_module('torch')
    segment = importlib.import_module('flmm_plugin.structures').Segment
    noise = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (3, *size), generator=noise, dtype=torch.uint8) for size in ((168, 280), (280, 168))
    ]
    texts = [[segment('there is'), segment(' a dog', 0)], [segment('two dogs', 0), segment(' in this image')]]
    return [lmm.prepare(picture, 'What is it?', text) for picture, text in zip(pictures, texts, strict=True)]


def difference(first: Any, second: Any) -> float:
    return float((first.attention_maps - second.attention_maps).abs().max())


def from_eager(lmm: Any, samples: Any) -> float:
    """Against transformers' own eager attention."""
    sample = samples[0]
    (captured,) = lmm([sample])
    config = lmm.decoder.config  # in transformers 4.48 a copy of the one that the LMM's own holds
    routed = config._attn_implementation
    config._attn_implementation = 'eager'
    try:
        torch = importlib.import_module('torch')
        with torch.no_grad():
            inputs, past = lmm.collate([sample]), None
            first = sample.prompt_length
            if first is not None:  # the question sees itself, the answer does not
                past = importlib.import_module('transformers').DynamicCache()
                lmm.model(**lmm.collate([sample.first(first)]), past_key_values=past)
                inputs = dict(input_ids=inputs['input_ids'][:, first:], attention_mask=inputs['attention_mask'])
            layers = lmm.model(**inputs, past_key_values=past, output_attentions=True).attentions
    finally:
        config._attn_implementation = routed
    stack = importlib.import_module('flmm_plugin.models.capture.recording').stack_grids
    columns = torch.cat([grid.columns for grid in sample.grids])
    rows = torch.cat([layer[0][:, sample.phrase_rows - (first or 0)].mean(1)[:, columns] for layer in layers])
    return float((stack(rows[None].float(), sample) - captured.attention_maps).abs().max())


def from_batch(lmm: Any, samples: Any) -> float:
    return max(difference(both, lmm([own])[0]) for both, own in zip(lmm(samples), samples, strict=True))


def from_branches(lmm: Any, samples: Any) -> float:
    """Two expressions after one picture, against each alone."""
    torch = importlib.import_module('torch')
    segment = importlib.import_module('flmm_plugin.structures').Segment
    picture = torch.randint(0, 256, (3, 168, 280), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    texts = ('a dog', 'the sky')
    both = lmm([lmm.prepare(picture, 'What is it?', [segment(t, i, branch=i) for i, t in enumerate(texts)])])[0]
    alone = [lmm([lmm.prepare(picture, 'What is it?', [segment(text, 0)])])[0].attention_maps for text in texts]
    return float((both.attention_maps - torch.cat(alone)).abs().max())


def from_cache(lmm: Any, samples: Any) -> float:
    """The answer after a prompt whose keys and values were kept, with another picture read in between."""
    sample, other = samples
    first = int(sample.phrase_rows[0])
    past = lmm.read(sample.first(first))
    lmm([other])
    return difference(lmm.forward_cached(sample, past, first), lmm([sample])[0])


def sees_later(lmm: Any, samples: Any) -> float:
    """How much a phrase's maps change with the text after it: nothing, whether or not image tokens see one another."""
    sample = samples[1]
    ids = sample.input_ids.clone()
    ids[-1] = ids[int(sample.phrase_rows[0])]
    return difference(lmm([sample])[0], lmm([replace(sample, input_ids=ids)])[0])
