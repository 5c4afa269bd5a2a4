"""Readers and writers of array files of other libraries. None of them executes content of a file."""
