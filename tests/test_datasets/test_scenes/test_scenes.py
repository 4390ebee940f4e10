"""The world of scenes: what is drawn, what is said of it, and that the two agree."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from flmm_plugin.datasets.scenes import render, sample_scene
from flmm_plugin.datasets.scenes.language import expressions, listing, narrative, vocabulary
from flmm_plugin.datasets.scenes.questions import KINDS, absent, ask, questions
from flmm_plugin.datasets.scenes.render import FIRST_THING
from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, SIZES, Scene, Thing, groups, relation


@pytest.fixture(scope='module')
def scenes() -> list[Scene]:
    return [sample_scene(np.random.default_rng([3, index])) for index in range(200)]


def thing(shape: str, color: str, y: float, x: float = 96.0, size: str = 'small') -> Thing:
    return Thing(shape, color, size, x, y, SIZES[size], 0.0)


def scene_of(*things: Thing) -> Scene:
    return Scene(192, 192, 'sky', 'grass', 96.0, 0.0, 0.0, things, tuple(range(len(things))), 0)


def words(scene: Scene) -> str:
    return ' '.join(span.text for span in narrative(scene))


def test_scenes_use_the_whole_world(scenes):
    assert {len(scene.things) for scene in scenes} == {1, 2, 3, 4}
    seen = {attribute for scene in scenes for t in scene.things for attribute in t.kind}
    assert seen == {*SHAPES, *COLORS, *SIZES}
    assert len(SHAPES) >= 8 and len(COLORS) == 8 and len(SIZES) == 2


def test_occlusion_is_limited_and_every_thing_is_seen(scenes):
    for scene in scenes:
        owners = render(scene)[1]
        for index in range(len(scene.things)):
            alone = render(Scene(**{**vars(scene), 'things': (scene.things[index],), 'depth': (0,)}))[1]
            visible = (owners == index + FIRST_THING).sum() / (alone == FIRST_THING).sum()
            assert visible > 0.5


def test_rendering_is_deterministic_and_draws_in_the_colour_it_names():
    scene = scene_of(thing('square', 'red', 96.0, size='large'))
    (image, owners), (again, _) = render(scene), render(scene)
    assert image.dtype == np.uint8 and image.shape == (192, 192, 3)
    np.testing.assert_array_equal(image, again)
    inside = image[owners == FIRST_THING].mean(0)
    assert np.abs(inside - COLORS['red']).max() < 30
    assert (owners[0] == 0).all() and (owners[-1] == 1).all()


def test_narrative_tells_things_from_top_to_bottom_with_relations_and_plurals():
    scene = scene_of(thing('star', 'red', 40), thing('moon', 'blue', 80), thing('star', 'red', 150))
    assert words(scene) == ('the sky is above the grass . two small red stars are above a small blue moon .')
    grounded = [span for span in narrative(scene) if span.grounded]
    assert [(span.stuff, span.things) for span in grounded] == [
        ('top', ()),
        ('bottom', ()),
        (None, (0, 2)),
        (None, (1,)),
    ]


def test_relations_follow_the_longer_distance():
    assert 'is above a' in words(scene_of(thing('star', 'red', 40, 60), thing('moon', 'blue', 140, 80)))
    assert 'is left of a' in words(scene_of(thing('star', 'red', 60, 40), thing('moon', 'blue', 80, 140)))
    assert 'is right of a' in words(scene_of(thing('star', 'red', 60, 140), thing('moon', 'blue', 80, 40)))


def test_a_lone_thing_is_there():
    assert words(scene_of(thing('cross', 'pink', 90))).endswith('there is a small pink cross .')


def fits(scene: Scene, text: str) -> list[int]:
    """Things that an expression fits, worked out from its words alone."""
    head = re.split(' left of | right of | above ', text.removeprefix('the '))[0]
    said = head.split()
    side = said.pop(0) if said[0] in ('top', 'bottom') else None
    found = [i for i, t in enumerate(scene.things) if set(said) <= set(t.kind)]
    return {'top': found[:1], 'bottom': found[-1:], None: found}[side]


def test_expressions_fit_one_thing_only(scenes):
    count = 0
    for scene in scenes:
        for index in range(len(scene.things)):
            for text in expressions(scene, index):
                assert fits(scene, text) == [index], (text, scene.things)
                count += 1
    assert count > 500


def test_every_word_is_in_the_vocabulary(scenes):
    known = set(vocabulary())
    rng = np.random.default_rng(0)
    for scene in scenes:
        said = [words(scene), listing(scene, rng), *itertools.chain(*(found[1:] for found in questions(scene, rng, 5)))]
        for mark in '.,?:':
            said = [text.replace(mark, f' {mark} ') for text in said]
        assert set(' '.join(said).lower().split()) <= known


def test_groups_cover_all_things_once(scenes):
    for scene in scenes:
        assert sorted(itertools.chain(*groups(scene))) == list(range(len(scene.things)))


def test_scenes_of_any_aspect():
    for height, width in ((144, 256), (256, 144)):
        for index in range(20):
            scene = sample_scene(np.random.default_rng([4, index]), (height, width))
            assert render(scene)[0].shape == (height, width, 3)
            assert all(t.radius < t.x < width - t.radius and t.radius < t.y < height - t.radius for t in scene.things)


def test_existence_is_balanced_and_half_of_what_is_absent_is_nearly_there(scenes):
    rng = np.random.default_rng(0)
    asked = [(scene, ask('exists', scene, rng)) for scene in scenes for _ in range(5)]
    near = Counter()
    for scene, (_, text, answer) in asked:
        color, shape = re.fullmatch(r'Is there a (\w+) (\w+)\?', text).groups()
        assert ((color, shape) in {(t.color, t.shape) for t in scene.things}) == (answer == 'yes .')
        if answer == 'no .':
            near[any(t.color == color for t in scene.things), any(t.shape == shape for t in scene.things)] += 1
    assert 0.45 < 1 - near.total() / len(asked) < 0.55
    assert all(near[kind] > 0.15 * near.total() for kind in itertools.product((False, True), repeat=2) if any(kind))


def test_absent_things_share_what_they_are_said_to(scenes):
    rng = np.random.default_rng(0)
    for scene in scenes[:50]:
        color, _ = absent('wrong shape', scene, rng)
        _, shape = absent('wrong color', scene, rng)
        assert color in {t.color for t in scene.things} and shape in {t.shape for t in scene.things}


def test_every_kind_of_question_is_asked(scenes):
    rng = np.random.default_rng(0)
    assert {found.kind for scene in scenes[:50] for found in questions(scene, rng, 10)} == {*KINDS, 'above'}


def test_what_is_above_has_one_answer(scenes):
    """As captions say it: nearer to straight up than to the side; nothing else is, or nearly is."""
    rng = np.random.default_rng(0)
    asked = [(scene, found) for scene in scenes for found in questions(scene, rng, 1) if found.kind == 'above']
    assert len(asked) > 0.2 * len(scenes)
    for scene, found in asked:
        (lower,) = [t for t in scene.things if found.text == f'Which thing is above the {" ".join(t.kind)}?']
        higher = [t for t in scene.things if t.y < lower.y]
        (answer,) = [t for t in higher if relation(t, lower) == 'above']
        assert found.answer == f'a {" ".join(answer.kind)} .'
        assert all(abs(t.x - lower.x) >= 1.25 * (lower.y - t.y) for t in higher if t is not answer)
