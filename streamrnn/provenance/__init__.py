"""Where a state comes from: the settings that shape it (fingerprint), and the states it grew from (pedigree).

Owns the texts that snapshots and committed offsets bear. Knows no row, no disk and no broker.
"""
