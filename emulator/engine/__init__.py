"""The path of a request: from an `HttpRequest` to bytes and times. `pipeline` has its steps in order.

stages        what is known about a request after each step
options       server-wide defaults
arrival       the record and the entropy of a new request
pipeline      the steps in order
writing       the tokens of the prompt, and the content of an answer
rendering     from the content to a planned body with times
limits        limits per minute for a key
faults        injected faults
endings       error responses, and the emulator's own errors
caching       repeated questions
forms         requests that differ from earlier ones only in their texts
short_way     answers without the pipeline's steps
prefixes      prompt caching with a store
stored        stored responses that several processes share
deciding      the store's decisions, for several processes
recalling     the same for cached answers
recorded      recorded answers
documented    recorded answers compared with the emulator's own (sources: provenance, facts)
explanations  why a rule matched or not, computed on demand
"""

from emulator.engine.caching import Lookup, look_up
from emulator.engine.endings import error_message
from emulator.engine.faults import handshake_fault
from emulator.engine.options import Options
from emulator.engine.pipeline import answer, misused, refused
from emulator.engine.recalling import form_to_count, recall_counted, recall_form_counted
from emulator.engine.short_way import Recalled, recall
from emulator.engine.stages import PlannedResponse

__all__ = [
    "Lookup",
    "Options",
    "PlannedResponse",
    "Recalled",
    "answer",
    "error_message",
    "form_to_count",
    "handshake_fault",
    "look_up",
    "misused",
    "recall",
    "recall_counted",
    "recall_form_counted",
    "refused",
]
