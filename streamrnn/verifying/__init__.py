"""`streamrnn verify`: recomputes what the topics say and names every difference."""
