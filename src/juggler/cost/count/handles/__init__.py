"""Handles, one file a group of operators: each offers `HANDLES`, see `juggler.cost.count.work`."""
