"""`streamrnn models`: what is in a registry, which version serves, and what may go."""
