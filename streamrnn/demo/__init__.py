"""`streamrnn demo`: real data, a trained model, a broker and the service in one command, watched live.

Owns the embedded broker too, which comes with the demo's extra; the bench runs on it when it is given no other.
"""
