"""`streamrnn models`: what is in a registry, which version serves, and what may go.

Owns what is shown of versions, and which of them are old. Knows no store, and of the weights only their header.
"""
