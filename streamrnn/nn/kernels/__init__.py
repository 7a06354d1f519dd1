"""The network's arithmetic compiled for the CPU, beside its slow twins in nn/. Knows no streams and no slab."""
