"""Families, file by file."""
