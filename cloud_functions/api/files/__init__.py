"""Formats of files that are uploaded and downloaded: cells of CSV, forms with a file. Knows no resource."""
