"""Both ways of annotating end up with the same; timings are not judged."""

from flmm_plugin.benchmark.annotating import measure_annotating, table
from flmm_plugin.benchmark.subject import PresetSubject


def test_together_and_one_by_one_give_the_same() -> None:
    result = measure_annotating(PresetSubject('tiny'), [120], phrases=3, repeats=1, batch=4)
    (row,) = result['annotate']
    assert row['same_tokens'] and row['max_difference'] < 1e-4 and row['speedup'] > 0
    assert set(row['parts']['together']) == {'decoding', 'looking', 'masks'}
    assert len(table(result).splitlines()) == 5
