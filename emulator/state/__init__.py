"""The state of namespaces: rule counters, quotas, cached responses, journal, timing."""
