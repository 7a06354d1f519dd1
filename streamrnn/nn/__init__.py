"""A model: its spec, weights and bundle, and the arithmetic of its cells and heads. Knows no streams."""
