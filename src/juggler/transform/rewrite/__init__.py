"""Rules over expressions, each proposal weighed and checked."""
