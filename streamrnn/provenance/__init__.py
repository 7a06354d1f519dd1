"""Where a state comes from: the settings that shape it (fingerprint), and the states it grew from (pedigree)."""
