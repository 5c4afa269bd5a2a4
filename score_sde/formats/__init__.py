"""Readers and writers of other people's files of arrays. None of them executes anything that is in a file."""
