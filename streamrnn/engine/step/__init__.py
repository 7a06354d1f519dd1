"""How a batch of placed ticks is computed: waves, executors, scores. Knows rows by their numbers alone."""
