"""Several workers as one daemon: begun, watched, begun anew, ended, and asked as one. The supervisor steps nothing.

It imports neither torch nor numba; only worker_main.py, which is what a worker's process runs, does.
"""
