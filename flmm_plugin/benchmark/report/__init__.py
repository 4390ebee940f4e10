"""What a machine shows, part by part: the tests, and what grounding costs on models with random weights."""
