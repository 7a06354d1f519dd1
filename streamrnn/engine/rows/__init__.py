"""Where each stream's row lies: slots, parking, undo, what is captured. Knows no arithmetic of a model."""
