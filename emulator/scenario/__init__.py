"""The format of scenario files, and loading a file into a Scenario."""
