"""Claims about Juggler as a whole, one script each: speed, exactness, counts."""
