"""The way of a request: from an `HttpRequest` to bytes and moments. `pipeline` has its steps in order.

stages      what is known of a request after each step       caching      the same question asked again
options     how the server as a whole behaves                writing      prompt tokens and the words of an answer
pipeline    the steps, one after another                     rendering    words to a planned body with moments
endings     refusals and the emulator's own errors           faults       what goes wrong on purpose
limits      what a key may use in a minute                   explanations why a rule matched or not, asked later
deciding    what a store decides, for several processes      recalling    the same for cached answers
arrival     the record and the entropy of a new request      recorded     answers of recordings
forms       requests that differ in their words alone        short_way    answers without the pipeline's steps
"""

from emulator.engine.caching import Lookup, look_up
from emulator.engine.endings import error_message
from emulator.engine.faults import handshake_fault
from emulator.engine.options import Options
from emulator.engine.pipeline import answer, misused, refused
from emulator.engine.recalling import recall_counted
from emulator.engine.short_way import Recalled, recall
from emulator.engine.stages import PlannedResponse

__all__ = [
    "Lookup",
    "Options",
    "PlannedResponse",
    "Recalled",
    "answer",
    "error_message",
    "handshake_fault",
    "look_up",
    "misused",
    "recall",
    "recall_counted",
    "refused",
]
