"""Commands that ask a few questions and end."""
