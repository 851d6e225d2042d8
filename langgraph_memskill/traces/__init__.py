"""Traces: what the controller saw, chose and was rewarded for, as Parquet files in a folder.

`rows` holds the typed records, `schema` their columns, `writer` appends them, `reader` streams them
back, `episodes` groups them, `summary` counts them, `merging` joins folders. pyarrow is imported
when the first file is touched, not before.

```
traces/
  steps/*.parquet      one row a step: a span, the skills picked for it, what came of it
  episodes/*.parquet   one row when an episode ends, and one for each reward that arrives later
  banks/*.parquet      one file a skill-bank version and encoder: a row a skill, texts and embedding
```
"""
