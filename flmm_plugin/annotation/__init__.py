"""Grounded captions, or masks of given names, of many pictures: what is read, how it is kept, what it becomes."""
