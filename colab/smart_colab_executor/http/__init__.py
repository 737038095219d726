"""The HTTP face, the only room that knows Flask: routes, statuses, limits, the server."""
