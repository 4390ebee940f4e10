"""Long days in short: the same work over and over, and whether anything is left of it."""
