"""The state of a namespace: rule counters, quotas, cached responses, journal, timing."""
