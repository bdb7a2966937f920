"""Readers of pictures: one file a format, bytes in, batches of arrays out; nothing is ever unpickled."""
