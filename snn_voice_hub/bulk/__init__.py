"""Millions of clips: folders and buckets in, a Parquet dataset out, on Ray Data (extra `[ray]`)."""
