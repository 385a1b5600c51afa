"""The configuration: what may be set, where it is read from, and what follows from it."""
