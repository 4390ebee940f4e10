"""POPE's figures by hand, and by the code of lmms-eval where it is installed."""

from __future__ import annotations

import pytest
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator

from flmm_plugin.evaluation import POPEMetric
from flmm_plugin.evaluation.pope_metric import read_as_authors, read_as_lmms_eval

# truth, answer
ANSWERS = [
    (True, 'Yes.'),
    (True, 'yes'),
    (True, 'No, there is not.'),
    (True, 'no'),
    (False, 'No'),
    (False, 'no'),
    (False, 'yes'),
    (False, 'There is a dog. No cat.'),
]


def sample(split: str, image: str, label: bool, answer: str, presence: float | None = None) -> DetDataSample:
    made = DetDataSample(metainfo=dict(protocol='yes_no', dataset_name=split, img_id=image, label=label, prompt='?'))
    made.set_field(answer, 'answer')
    if presence is not None:
        made.set_field(presence, 'presence')
    return made


def evaluate(samples: list[DetDataSample], **options: float) -> dict[str, float]:
    return Evaluator(POPEMetric(**options)).offline_evaluate(samples)


@pytest.mark.parametrize(
    'answer, authors, lmms_eval',
    [
        ('Yes', 'yes', 'yes'),
        ('no .', 'no', 'no .'),
        ('Not at all', 'yes', 'not at all'),  # "Not" is none of the three words
        ('I do not know. Yes.', 'no', 'i do not know. yes.'),
        ('NO', 'yes', 'no'),
        ('No,', 'no', 'no,'),
        ('', 'yes', ''),
    ],
)
def test_readings(answer: str, authors: str, lmms_eval: str) -> None:
    assert read_as_authors(answer) == authors and read_as_lmms_eval(answer) == lmms_eval


def test_by_hand() -> None:
    metrics = evaluate([sample('random', str(i % 3), *one) for i, one in enumerate(ANSWERS)])
    # authors: yes yes no no | no no yes yes
    expected = dict(accuracy=0.5, precision=0.5, recall=0.5, F1=0.5, yes_ratio=0.5)
    assert {name: metrics[f'pope/random/authors/{name}'] for name in expected} == expected
    # lmms-eval: other yes other no | no no yes other
    expected = dict(accuracy=3 / 8, precision=0.5, recall=0.5, F1=0.5, yes_ratio=0.25)
    assert {name: metrics[f'pope/random/lmms_eval/{name}'] for name in expected} == pytest.approx(expected)
    assert metrics['pope/random/yes_ratio_of_truth'] == 0.5
    assert 'pope/mean/authors/F1' not in metrics


def test_as_lmms_eval_computes_it() -> None:
    utils = pytest.importorskip('lmms_eval.tasks.pope.utils')
    metrics = evaluate([sample('random', str(i), *one) for i, one in enumerate(ANSWERS)])
    docs = [dict(answer='yes' if truth else 'no', question_id=i) for i, (truth, _) in enumerate(ANSWERS)]
    records = [utils.pope_process_results(d, [a])['pope_f1_score'] for d, (_, a) in zip(docs, ANSWERS, strict=True)]
    names = dict(accuracy='accuracy', precision='precision', recall='recall', F1='f1_score')
    for ours, theirs in names.items():
        value = getattr(utils, f'pope_aggregate_{theirs}')(records)
        assert metrics[f'pope/random/lmms_eval/{ours}'] == pytest.approx(value)
    assert metrics['pope/random/yes_ratio_of_truth'] == utils.pope_aggregate_yes_ratio(records)


def test_mean_of_splits_and_intervals() -> None:
    samples = [sample('random', str(i), True, 'yes') for i in range(40)]
    samples += [sample('popular', str(i), i % 2 == 0, 'yes') for i in range(40)]
    metrics = evaluate(samples)
    assert metrics['pope/random/authors/F1'] == 1.0 and metrics['pope/popular/authors/F1'] == pytest.approx(2 / 3)
    assert metrics['pope/mean/authors/F1'] == pytest.approx(5 / 6)
    low, high = (metrics[f'pope/popular/authors/accuracy_{side}'] for side in ('low', 'high'))
    assert low == pytest.approx(0.5 - 1.96 * (0.25 / 40) ** 0.5, abs=0.03)
    assert high == pytest.approx(0.5 + 1.96 * (0.25 / 40) ** 0.5, abs=0.03)
    assert metrics['pope/random/authors/accuracy_low'] == 1.0
    assert evaluate(samples) == metrics


def test_nothing_said_is_divided_by() -> None:
    metrics = evaluate([sample('random', 'a', True, 'no'), sample('random', 'b', False, 'no')])
    assert metrics['pope/random/authors/precision'] == metrics['pope/random/authors/F1'] == 0.0


def test_yes_only_where_it_can_be_grounded() -> None:
    samples = [
        sample('random', 'a', True, 'yes', 0.9),
        sample('random', 'b', False, 'yes', 0.2),
        sample('random', 'c', True, 'no', 0.9),
    ]
    metrics = evaluate(samples)
    assert metrics['pope/random/authors/accuracy'] == pytest.approx(1 / 3)
    assert metrics['pope/random/grounded/accuracy'] == pytest.approx(2 / 3)
    assert evaluate(samples, min_presence=0.95)['pope/random/grounded/yes_ratio'] == 0.0
