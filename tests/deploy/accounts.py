"""The least that a configuration must have, for tests of what stands beside it."""

ACCOUNTS = {"accounts": [{"name": "acme", "provider": "anyreach", "token": "token", "campaigns": [{"id": "a"}]}]}
