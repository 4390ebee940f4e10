"""What is said of an LMM whose image tokens have no known place."""

from flmm_plugin.errors import UserError


class LayoutError(UserError, ValueError):
    """Where an LMM's image tokens look cannot be told, or was told wrongly; the message names the cells."""
