"""Files as ticks: delimited text, Parquet and InfluxDB's line protocol, in bounded memory.

Owns how a file is read, and which of its columns is what. Knows no Kafka and no model.

What reads text was weighed in November 2026, each as installed and without a network:

- pyarrow 26 parses and nothing more. It takes any stream of bytes (so every encoding of Python's, gzip, zstd and
  zip), streams it by the block, and its errors bear the row. It was there already, for Parquet.
- DuckDB 2.0 (25 MB more) guesses where a law of ours says refuse: 01/02/2024 became 1 February, YYYYMMDDHH a
  number, '1_000' a thousand. windows-1252 and zip need extensions that are downloaded. Its errors count a quoted
  line break as none. Its results reach numpy through pyarrow, and one thread took 1.7 times as long. What
  remained for it was the sort beyond memory, which is sorting.py: a hundred lines.
- polars 2.1 names a bad cell's column and a byte, not its row; what it reads as a stream must be UTF-8, and it has
  no limit of memory to set.

So the parser stays pyarrow with every cell as text. What a cell means is decided here: numbers.py, timestamps.py.
head.py finds out of the first 64 KiB only what is certain; naming.py which column is what.
"""
