"""Finds the rule that answers a request, and says why the others do not."""
