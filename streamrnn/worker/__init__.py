"""What one worker does with its partitions: recover, step, publish, commit, snapshot. Knows no protocol's bytes."""
