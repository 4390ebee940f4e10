"""Presence: areas under the curve by hand, and a rule that finds what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation import PresenceMetric
from flmm_plugin.evaluation.presence_metric import auroc
from flmm_plugin.models.presence import SIGNALS, PresenceRule, PresenceRules
from flmm_plugin.models.presence.reliability import calibration_error


def sample(split: str, label: bool, presence: float | None) -> DetDataSample:
    made = DetDataSample(metainfo=dict(protocol='yes_no', dataset_name=split, label=label))
    if presence is not None:
        made.set_field(presence, 'presence')
        made.set_field(dict(asked=-presence, said=0.0), 'signals')
    return made


def test_by_hand() -> None:
    values = [(True, 0.9), (True, 0.4), (False, 0.4), (False, 0.1)]
    samples = [sample('random', *one) for one in values]
    samples += [sample('adversarial', True, 0.3), sample('adversarial', False, 0.6), sample('random', True, None)]
    metrics = Evaluator(PresenceMetric()).offline_evaluate(samples)
    # Positives 0.9, 0.4, 0.3 against 0.4, 0.1, 0.6: 3, 1.5 and 1 of 3 each.
    assert metrics['presence/auroc'] == pytest.approx(5.5 / 9) == pytest.approx(1 - metrics['presence/auroc_asked'])
    assert metrics['presence/auroc_hard'] == 0.0 and metrics['presence/auroc_said'] == 0.5


def test_auroc_of_one_kind() -> None:
    assert np.isnan(auroc(np.array([0.2, 0.3]), np.array([True, True])))


def made_up(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals of 2,000 phrases, two of which tell something and one does not vary; what is there; and its true odds."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(2000, len(SIGNALS))) * 5 + 3
    signals[:, -1] = 7.0
    odds = (signals[:, 0] - 3) / 2 - (signals[:, 2] - 3) / 5
    return signals, rng.random(2000) < 1 / (1 + np.exp(-odds)), odds


def test_rule_is_found_and_calibrated(tmp_path: Path) -> None:
    rule = PresenceRule.fit(*made_up(0)[:2])
    signals, there, odds = made_up(1)
    assert rule.weights[0] > 0 > rule.weights[2] and rule.weights[-1] == 0
    assert auroc(rule(signals), there) > auroc(odds, there) - 0.01 and calibration_error(rule(signals), there) < 0.04
    assert sum(one['count'] for one in rule.reliability) == rule.fitted_on == 2000
    assert all(abs(one['predicted'] - one['observed']) < 0.12 for one in rule.reliability)
    rules = PresenceRules.fit(*made_up(0)[:2], 'Describe.', 'Is there {phrase}?')
    rules.save(tmp_path / 'rule.json')
    assert PresenceRules.load(tmp_path / 'rule.json') == rules and rules.asked == rule
    assert rules.free.weights[1] < 0 and auroc(rules(signals, False), there) < auroc(rules(signals, True), there) - 0.1


def test_what_is_no_rule(tmp_path: Path) -> None:
    signals, *_ = made_up(0)
    with pytest.raises(UserError, match='some that do not'):
        PresenceRule.fit(signals, np.ones(2000, bool))
    path = tmp_path / 'rule.json'
    path.write_text('{}')
    with pytest.raises(UserError, match=r'rule\.json holds no presence rule'):
        PresenceRules.load(path)


def test_calibration_error_by_hand() -> None:
    # Two bins: 0.25 against one half, 0.85 against all.
    found = calibration_error(np.array([0.25, 0.25, 0.85]), np.array([True, False, True]))
    assert found == pytest.approx((2 * 0.25 + 0.15) / 3)
