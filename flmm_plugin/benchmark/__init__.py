"""Measuring what grounding costs on top of the bare LMM."""
