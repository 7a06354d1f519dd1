"""`streamrnn verify`: recomputes what the topics say and names every difference.

Owns the plan, the recomputing and the judgement. Writes to no topic and joins no group.
"""
