"""The HTTP server: sockets, limits, TLS, users, and the routes for programs."""
