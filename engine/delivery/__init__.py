"""Say it, once: endpoints, signed requests, retries until it is too late."""
