"""When each request is sent, within which budget, and what follows from its answer."""
