"""Valid values for a JSON Schema: what a model with structured output, or one that calls a tool, would have written.

patterns     strings for a regular expression         names      what a property of a given name usually holds
ecma         JavaScript's expressions as Python's     scalars    numbers and strings within bounds
references   where references lead                    merging    two schemas as one
validity     whether a value is valid                 making     the search, over all of them
"""

from emulator.generation.instances.making import UnsatisfiableSchema, instance
from emulator.generation.instances.search import Fuel

__all__ = ["Fuel", "UnsatisfiableSchema", "instance"]
