"""`streamrnn replay`: a file's rows as ticks on the input topic, at a multiple of recorded speed.

Owns the pace, the encoding of rows and the progress shown. Knows no model, and no file's form: that is tables/.
"""
