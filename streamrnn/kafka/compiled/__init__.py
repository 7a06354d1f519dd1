"""Record batches of the log, in columns and by compiled loops. Knows no broker and no object of a record."""
