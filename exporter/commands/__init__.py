"""Commands that send some requests and end."""
