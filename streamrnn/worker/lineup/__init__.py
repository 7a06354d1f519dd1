"""The lines of one worker: for each partition one speaks, and another may follow it. Knows no protocol's bytes."""
