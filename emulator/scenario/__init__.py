"""What a scenario file may say, and the way from a file to a Scenario."""
