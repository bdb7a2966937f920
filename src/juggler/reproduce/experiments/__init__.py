"""Experiments, one file each: each offers `EXPERIMENT`, see `juggler.reproduce.experiment`."""
