"""``python -m flmm_plugin.doctor``: what works in this environment, and what to do about what does not.

It must run where the rest of the package does not: nothing is imported before its absence can be reported.
"""

from flmm_plugin.doctor.findings import Finding, Level

__all__ = ['Finding', 'Level']
