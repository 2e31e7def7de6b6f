"""Generates valid values for a JSON Schema, as a model with structured output or tool calls would write them.

patterns     strings for a regular expression
ecma         JavaScript's regular expressions in Python's syntax
names        typical values for the name of a property
scalars      numbers and strings within bounds
references   resolves references
merging      two schemas as one
validity     checks whether a value is valid
making       the search that uses all of them
"""

from emulator.generation.instances.making import UnsatisfiableSchema, instance
from emulator.generation.instances.search import Fuel

__all__ = ["Fuel", "UnsatisfiableSchema", "instance"]
