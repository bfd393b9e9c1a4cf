"""Clouds in a process, for tests: each stores what it is sent, refuses what the real one refuses, and
answers DNS from the policies it holds. What is known of the real ones, and from where, stands in a table
of each module; third-party clients drive the contract tests."""
