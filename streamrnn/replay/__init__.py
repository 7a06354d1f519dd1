"""`streamrnn replay`: a file's rows as ticks on the input topic, at a multiple of recorded speed."""
