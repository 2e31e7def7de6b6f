"""The output formats of verdicts, for people and other programs."""
