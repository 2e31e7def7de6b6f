"""Generates what a scenario leaves open: prose, templates, JSON for a schema."""
