import pytest

from flmm_plugin.apis.phrases import noun_phrases, split_phrases


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('the sky is above the grass .', ['the sky', 'the grass']),
        ('a red star is left of two blue moons, which are below a ring.', ['a red star', 'two blue moons', 'a ring']),
        ("The dog's bowl stands near a half-open door", ["The dog's bowl stands", 'a half-open door']),
        ('yes .', []),
        ('', []),
    ],
)
def test_noun_phrases(text, expected):
    assert [text[start:end] for start, end in noun_phrases(text)] == expected


def test_segments_put_together_are_the_text():
    text = 'the sky is above the grass . a star is left of a moon .'
    segments, spans = split_phrases(text)
    assert ''.join(segment.text for segment in segments) == text
    assert [segment.text for segment in segments if segment.phrase >= 0] == [text[a:b] for a, b in spans]
    assert [segment.phrase for segment in segments if segment.phrase >= 0] == [0, 1, 2, 3]
