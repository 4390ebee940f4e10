"""Is it there? A probability that what a phrase names is in the picture, from what the frozen LMM and SAM show."""

from flmm_plugin.models.presence.rule import PresenceRule
from flmm_plugin.models.presence.rules import PresenceRules
from flmm_plugin.models.presence.signals import SIGNALS, presence_signals

__all__ = ['SIGNALS', 'PresenceRule', 'PresenceRules', 'presence_signals']
