"""How a classifier of pictures is made."""
