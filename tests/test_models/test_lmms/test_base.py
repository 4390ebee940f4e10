"""What all adapters share, checked on a tiny random model of each family."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from flmm_plugin.errors import UserError
from flmm_plugin.models.capture import attention
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.capture.positions import KeptTokens
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.lmms.batching import split_batch
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import LMMInputs, Region, Segment
from tests.tiny_flmm import four_samples, random_image
from tests.tiny_lmms import FAMILIES

SEGMENTS = [Segment('there is'), Segment('the dog', 0), Segment('and two', -1), Segment('dogs', 1)]


@pytest.fixture(params=sorted(FAMILIES))
def lmm(request: pytest.FixtureRequest, lmm_dirs: dict[str, Path]) -> FrozenLMM:
    adapter = FAMILIES[request.param][1]
    return MODELS.build(dict(type=adapter, pretrained=str(lmm_dirs[request.param]), dtype='float32'))


def test_prepare_expands_the_image_and_marks_phrases(lmm: FrozenLMM) -> None:
    inputs = lmm.prepare(random_image(40, 60), 'describe this image', SEGMENTS)
    image = inputs.input_ids == lmm.image_token_id
    words = lmm.processor.tokenizer.convert_ids_to_tokens(inputs.input_ids[~image].tolist())
    assert ' '.join(words[2:5] + words[-7:]) == 'describe this image there is the dog and two dogs'
    assert inputs.phrase_ids[~image].tolist()[-7:] == [-1, -1, 0, 0, -1, -1, 1]
    assert (inputs.phrase_ids[image] == -1).all()
    for grid in inputs.grids:
        assert len(grid.columns) == grid.height * grid.width
        assert image[grid.columns].all()
        assert (grid.columns.diff() > 0).all()
    assert inputs.num_phrases == 2


def test_maps_have_the_channels_promised(lmm: FrozenLMM) -> None:
    inputs = lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)
    outputs = lmm([inputs])[0]
    grid = inputs.finest_grid
    assert outputs.attention_maps.shape == (2, lmm.num_maps, grid.height, grid.width)
    assert outputs.hidden_states.shape == (lmm.num_layers, 3, lmm.hidden_size)
    assert outputs.phrase_ids.tolist() == [0, 0, 1]


def test_maps_equal_eager_attention(lmm: FrozenLMM) -> None:
    inputs = lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)
    maps = lmm([inputs])[0].attention_maps
    config = AutoConfig.from_pretrained(lmm.name)
    eager = AutoModelForImageTextToText.from_pretrained(lmm.name, config=config, attn_implementation='eager')
    with torch.no_grad():
        attentions = eager(**lmm.collate([inputs]), output_attentions=True).attentions
    dogs = int((inputs.phrase_ids == 1).nonzero())
    grid = inputs.finest_grid
    expected = torch.stack(attentions)[:, 0, :, dogs, grid.columns].flatten(0, 1)
    fine = maps[1, -len(expected) :].flatten(1)
    torch.testing.assert_close(fine, expected, atol=1e-5, rtol=0)


def test_hidden_states_equal_transformers(lmm: FrozenLMM) -> None:
    inputs = lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)
    ours = lmm([inputs], all_tokens=True)[0].hidden_states
    with torch.no_grad():
        theirs = lmm.model(**lmm.collate([inputs]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(ours, torch.stack(theirs[-lmm.num_layers :])[:, 0], atol=1e-5, rtol=0)


def test_batch_equals_singles(lmm: FrozenLMM) -> None:
    images, samples = four_samples()
    inputs = [lmm.prepare(i, s.prompt, s.segments) for i, s in zip(images, samples, strict=True)]
    assert len({len(i.input_ids) for i in inputs}) > 1
    for one, batched in zip(inputs, lmm(inputs), strict=True):
        alone = lmm([one])[0]
        torch.testing.assert_close(batched.attention_maps, alone.attention_maps, atol=1e-5, rtol=0)
        torch.testing.assert_close(batched.hidden_states, alone.hidden_states, atol=1e-4, rtol=0)


def test_branches_are_read_as_if_each_were_alone(lmm: FrozenLMM) -> None:
    image, texts = random_image(40, 60), ['the dog', 'two dogs', 'sky']
    branches = [Segment(text, index, branch=index) for index, text in enumerate(texts)]
    together = lmm([lmm.prepare(image, 'describe', branches)])[0]
    for index, text in enumerate(texts):
        alone = lmm([lmm.prepare(image, 'describe', [Segment(text, 0)])])[0]
        torch.testing.assert_close(together.attention_maps[index], alone.attention_maps[0], atol=1e-5, rtol=0)
        states = together.hidden_states[:, together.phrase_ids == index]
        torch.testing.assert_close(states, alone.hidden_states, atol=1e-4, rtol=0)


def test_reading_on_equals_reading_at_once(lmm: FrozenLMM) -> None:
    """Also after an answer that was generated, whose keys and values are dropped first."""
    question = lmm.prepare(random_image(40, 60), 'describe')
    whole = lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)
    cached = len(question.input_ids)
    past = lmm.read(whole)
    expected = lmm([whole], all_tokens=True)[0]
    for _ in range(2):
        found = lmm.forward_cached(whole, past, cached, all_tokens=True)
        assert past.get_seq_length() == cached
        torch.testing.assert_close(found.attention_maps, expected.attention_maps, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.hidden_states, expected.hidden_states[:, cached:], atol=1e-4, rtol=0)
        assert torch.equal(found.phrase_ids, expected.phrase_ids[cached:])
    with pytest.raises(ValueError, match='hold the image and no phrase'):
        lmm.forward_cached(whole, past, 3)


def test_trunk_after_a_branch(lmm: FrozenLMM) -> None:
    segments = [Segment('the dog', 0, branch=0), Segment('and'), Segment('sky', 1, branch=1)]
    with pytest.raises(UserError, match='before all branches'):
        lmm.prepare(random_image(40, 60), 'describe', segments)


def test_is_frozen_and_stays_in_evaluation_mode(lmm: FrozenLMM) -> None:
    lmm.train()
    assert not any(module.training for module in lmm.modules())
    assert not any(parameter.requires_grad for parameter in lmm.parameters())


def test_hash_tells_a_changed_weight(lmm: FrozenLMM) -> None:
    before = lmm.weights_hash()
    assert lmm.weights_hash() == before
    next(lmm.model.parameters()).data.view(-1)[0] += 1e-3
    assert lmm.weights_hash() != before


def test_answers_as_without_the_plugin(lmm: FrozenLMM) -> None:
    image = random_image(40, 60)
    ids, text = lmm.generate(image, 'describe this image', max_new_tokens=6)
    plain = AutoModelForImageTextToText.from_pretrained(lmm.name, attn_implementation='sdpa')
    inputs = lmm.collate([lmm.prepare(image, 'describe this image')])
    expected = plain.generate(**inputs, do_sample=False, max_new_tokens=6)[0, inputs['input_ids'].shape[1] :]
    assert ids.tolist() == expected.tolist()
    assert isinstance(text, str)


def test_image_token_missing(lmm: FrozenLMM) -> None:
    lmm.render = lambda prompt: f'USER: {prompt} ASSISTANT:'
    with pytest.raises(UserError, match=r'image token .* once, found 0'):
        lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)


def test_phrase_without_a_token(lmm: FrozenLMM) -> None:
    with pytest.raises(UserError, match=r"phrase 1 \(' '\) has no token"):
        lmm.prepare(random_image(40, 60), 'describe', [Segment('dog', 0), Segment(' ', 1)])
    with pytest.raises(UserError, match=r'phrases \[0\] have no token'):
        lmm.prepare(random_image(40, 60), 'describe', [Segment('dog', 1)])


def test_attention_that_does_not_report(lmm: FrozenLMM) -> None:
    text = lmm.config.text_config
    for module in lmm.modules():
        config = getattr(module, 'config', None)
        if getattr(config, 'model_type', None) == text.model_type:
            config._attn_implementation = 'sdpa'
    with pytest.raises(RuntimeError, match='did not report'):
        lmm([lmm.prepare(random_image(40, 60), 'describe', SEGMENTS)])


@pytest.mark.parametrize('corner', [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_image_tokens_lie_under_what_they_show(lmm: FrozenLMM, corner: tuple[int, int]) -> None:
    """A bright square on a blank picture changes the image token under it more than any other."""
    blank = torch.full((3, 48, 96), 90, dtype=torch.uint8)
    bright = blank.clone()
    top, left = 4 + 32 * corner[0], 6 + 72 * corner[1]
    bright[:, top : top + 8, left : left + 12] = 255
    before, after = (lmm.prepare(image, 'describe') for image in (blank, bright))
    for grid in before.grids:
        change = (embeddings(lmm, after) - embeddings(lmm, before))[grid.columns].norm(dim=-1)
        row, col = divmod(int(change.argmax()), grid.width)
        place = grid.region or Region(0, 0, grid.height, grid.width, grid.height, grid.width)
        y = (row + 0.5) / grid.height * place.padded_height - place.top
        x = (col + 0.5) / grid.width * place.padded_width - place.left
        # Half a token and half the square: the token's centre may be that far from the square's.
        assert abs(y / place.height - (top + 4) / 48) <= 0.5 * place.padded_height / grid.height / place.height + 4 / 48
        assert abs(x / place.width - (left + 6) / 96) <= 0.5 * place.padded_width / grid.width / place.width + 6 / 96


def embeddings(lmm: FrozenLMM, inputs: LMMInputs) -> torch.Tensor:
    """(N, D) what the text model is given: words and image features."""
    seen = []
    decoder = find_decoder(lmm.model, lmm.config.text_config)
    handle = decoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs['inputs_embeds'][0]), with_kwargs=True
    )
    with torch.no_grad():
        lmm.model(**lmm.collate([inputs]))
    handle.remove()
    return seen[0]


def test_texts_without_phrases_have_no_maps(lmm: FrozenLMM) -> None:
    """By themselves and beside others."""
    image = random_image(48, 96)
    silent, phrased = (lmm.prepare(image, 'what ?', [Segment('a dog', phrase)]) for phrase in (-1, 0))
    (alone,) = lmm([phrased])
    for batch in ([silent], [silent, phrased], [phrased, silent]):
        for sample, outputs in zip(batch, lmm(batch), strict=True):
            assert len(outputs.attention_maps) == sample.num_phrases
            assert outputs.hidden_states.shape[1] == len(sample.phrase_rows)
            if sample is phrased:
                torch.testing.assert_close(outputs.attention_maps, alone.attention_maps, atol=1e-6, rtol=0)


def test_threads_do_not_disturb_one_another(lmm: FrozenLMM) -> None:
    """Texts of several lengths that are grounded at once, beside an answer."""
    if 'hybrid' in lmm.config.model_type:
        pytest.skip("transformers changes this tower's layers while it runs")
    samples = [
        lmm.prepare(random_image(48, 96, seed=seed), 'what ?', [Segment('and ' * seed), Segment('a dog', 0)])
        for seed in range(4)
    ]
    asked = lmm.prepare(random_image(48, 96), 'what ?')

    def answer() -> torch.Tensor:
        with torch.no_grad():
            return lmm.answer(asked, KeptTokens(), do_sample=False, max_new_tokens=4, min_new_tokens=4, pad_token_id=0)

    expected, words = [lmm([sample])[0] for sample in samples], answer()
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(answer) for _ in range(3)]
        found = list(pool.map(lambda sample: lmm([sample])[0], samples * 4))
        answers += [pool.submit(answer) for _ in range(3)]
    for one, other in zip(found, expected * 4, strict=True):
        torch.testing.assert_close(one.attention_maps, other.attention_maps, atol=1e-6, rtol=0)
        torch.testing.assert_close(one.hidden_states, other.hidden_states, atol=1e-5, rtol=0)
    assert all(torch.equal(one.result(), words) for one in answers)
    assert not any('forward' in vars(module) for module in lmm.modules())


def test_decoder_is_that_of_the_model_at_hand(lmm: FrozenLMM) -> None:
    first = lmm.decoder
    assert first is find_decoder(lmm.model, lmm.config.text_config) and lmm.decoder is first
    copied = deepcopy(lmm)
    assert copied.decoder is find_decoder(copied.model, copied.text_config) and copied.decoder is not first
    assert copied.text_config is copied.config.get_text_config()
    lmm.model = copied.model
    assert lmm.decoder is copied.decoder and not any('_found' in name for name in lmm.state_dict())


def test_masks_are_left_out_where_causality_is_all_they_say(lmm: FrozenLMM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding on the right is none of it: the kernels that need no mask stay in use."""
    given: list[torch.Tensor | None] = []
    kernel = attention.sdpa_attention_forward
    monkeypatch.setattr(
        attention, 'sdpa_attention_forward', lambda *args, **kw: given.append(args[4]) or kernel(*args, **kw)
    )
    images, samples = four_samples()
    lmm([lmm.prepare(i, s.prompt, s.segments) for i, s in zip(images, samples, strict=True)])
    assert given == [None] * (lmm.num_layers - 1)


def test_a_cpu_reads_as_many_samples_at_once_as_its_cache_holds() -> None:
    def sample(length: int) -> LMMInputs:
        ids = torch.zeros(length, dtype=torch.int64)
        return LMMInputs(input_ids=ids, phrase_ids=ids - 1, vision={}, grids=(), target_size=(1, 1))

    samples = [sample(700), sample(500), sample(600)]
    cpu, cuda = torch.device('cpu'), torch.device('cuda')
    assert [len(part) for part in split_batch(samples, 128, cpu)] == [3]
    assert [len(part) for part in split_batch(samples, 700, cpu)] == [2, 1]
    assert [part[0] for part in split_batch(samples, 4096, cpu)] == samples
    assert [len(part) for part in split_batch(samples, 4096, cuda)] == [3]


def test_images_that_cannot_be_padded_are_read_one_by_one() -> None:
    def sample(height: int, **vision: torch.Tensor) -> LMMInputs:
        ids = torch.zeros(9, dtype=torch.int64)
        pixels = torch.zeros(1, 3, height, 8)
        return LMMInputs(ids, ids - 1, vision=dict(pixel_values=pixels, **vision), grids=(), target_size=(1, 1))

    def parts(*samples: LMMInputs) -> list[int]:
        return [len(part) for part in split_batch(samples, 1, torch.device('cuda'))]

    assert parts(sample(8), sample(16)) == [1, 1]
    assert parts(sample(8), sample(8)) == [2]
    size = torch.tensor([[8, 8]])
    assert parts(sample(8, image_sizes=size), sample(16, image_sizes=size)) == [2]
