"""Request to response: routes, handlers, hooks, plugins."""
