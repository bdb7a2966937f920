"""Layers that torch lacks: activations that fade, norms of the inside of a padded map."""
