"""What a namespace remembers: rules' counters, quotas, cached responses, journal, timing."""
