"""What levers and width are worth in accuracy: a study by seeds."""
