"""The rules of a checkpoint, kept beside it in ``CHECKPOINT.presence.json``.

Shape shorthand: N phrases, S signals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import UserError
from flmm_plugin.models.presence.reliability import limit_for
from flmm_plugin.models.presence.rule import PresenceRule
from flmm_plugin.models.presence.signals import FREE, SIGNALS
from flmm_plugin.plain_json import parse_json, write_json
from flmm_plugin.structures import LMMInputs

#: As ``min_presence`` is given: a probability, ``dict(precision=...)`` of what passes, or None to let all pass.
Wanted = float | Mapping[str, float] | None
Points = tuple[dict[str, float], ...]
NUMBERS = ('mean', 'spread', 'weights')


def presence_path(checkpoint: str | Path) -> Path:
    """Where the rules of a checkpoint are."""
    return Path(checkpoint).with_suffix('.presence.json')


@dataclass(frozen=True)
class PresenceRules:
    """``free``: the rule over what comes with grounding; ``asked``: over the answers to ``question`` as well, None
    where there is no question. ``prompt``: what phrases were read as the answer to when the rules were fitted.

    ``answers``: the rules of phrases within a text, as an LMM's answer is; None where none were fitted, and those of
    phrases that were given do for them. What has been said before speaks for a phrase that goes on with it.
    """

    prompt: str
    question: str | None
    free: PresenceRule
    asked: PresenceRule | None
    answers: PresenceRules | None = None

    @classmethod
    def fit(
        cls, signals: NDArray[np.float64], there: NDArray[np.bool_], prompt: str, question: str | None
    ) -> PresenceRules:
        """From (N, S) signals and what is there, (N,)."""
        free = PresenceRule.fit(signals[:, 1:], there, FREE)
        return cls(prompt, question, free, None if question is None else PresenceRule.fit(signals, there))

    def suited(self, inputs: LMMInputs) -> PresenceRules:
        """The rules of these phrases, by whether each is a text of its own or all are within one."""
        return self if inputs.branch_ids is not None or self.answers is None else self.answers

    def rule(self, ask: bool) -> PresenceRule:
        """The rule that is used where the LMM is asked, or is not.

        Raises:
            UserError: it is to be asked, and there is no rule for that.
        """
        if not ask:
            return self.free
        if self.asked is None:
            raise UserError('the presence rule was fitted without a question: fit it again with one, or do not ask')
        return self.asked

    def curves(self) -> dict[str, tuple[Points, Points]]:
        """``reliability`` and ``points`` of the rules, by what they are called in pictures."""
        rules = {'not asked': self.free, 'asked': self.asked}
        found = {name: (rule.reliability, rule.points) for name, rule in rules.items() if rule is not None}
        inside = {} if self.answers is None else self.answers.curves()
        return {**found, **{f'in answers, {name}': curve for name, curve in inside.items()}}

    def __call__(self, signals: NDArray[np.float64], ask: bool) -> NDArray[np.float64]:
        """(N,) probabilities of (N, S) signals."""
        return self.rule(ask)(signals if ask else signals[:, 1:])

    def limit(self, wanted: Wanted, ask: bool) -> float | None:
        """The least presence that passes.

        Raises:
            UserError: no probability, or a precision that is not reached.
        """
        if wanted is None:
            return None
        value: Any = wanted
        if isinstance(wanted, Mapping):
            value = wanted.get('precision')
            if set(wanted) != {'precision'} or not is_share(value):
                raise UserError(f'min_presence={dict(wanted)}: expected dict(precision=P), P between 0 and 1')
            return limit_for(self.rule(ask).points, value)
        if not is_share(value):
            raise UserError(f'min_presence={value!r}: expected a probability between 0 and 1, or dict(precision=P)')
        return float(value)

    def save(self, path: Path) -> None:
        write_json(path, asdict(self), indent=1)

    @classmethod
    def beside(cls, checkpoint: str | Path) -> PresenceRules | None:
        """The rules of a checkpoint, where it has any."""
        path = presence_path(checkpoint)
        return cls.load(path) if path.is_file() else None

    @classmethod
    def load(cls, path: Path) -> PresenceRules:
        """
        Raises:
            UserError: the file is none of :meth:`save`, or of other signals.
        """
        try:
            return read_rules(parse_json(path.read_bytes(), str(path)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise UserError(
                f'{path} holds no presence rule of this release ({error}): delete it, and fit it anew'
            ) from error


def read_rules(content: Mapping[str, Any]) -> PresenceRules:
    """Rules from JSON."""
    asked, answers = content['asked'], content.get('answers')
    rules = PresenceRules(
        str(content['prompt']),
        content['question'],
        read_rule(content['free'], FREE),
        None if asked is None else read_rule(asked, SIGNALS),
        None if answers is None else read_rules(answers),
    )
    if rules.question is not None:
        rules.question.format(phrase='')
    return rules


def read_rule(content: Mapping[str, Any], names: tuple[str, ...]) -> PresenceRule:
    """A rule over signals of these names, from JSON."""
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    rule = PresenceRule(**fields)
    if rule.signals != names:
        raise ValueError(f'it weighs {", ".join(rule.signals)}')
    values = [*(getattr(rule, name) for name in NUMBERS), (rule.bias,)]
    if any(len(own) != len(names) for own in values[:-1]) or not all(map(is_number, sum(values, ()))):
        raise ValueError('numbers are missing')
    if min(rule.spread) <= 0:
        raise ValueError('a spread is not greater than 0')
    if not all(is_number(point.get(name)) for point in rule.points for name in ('limit', 'precision')):
        raise ValueError('points are no limits and precisions')
    return rule


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1
