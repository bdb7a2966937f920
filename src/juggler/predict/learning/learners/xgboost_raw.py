"""XGBoost on the latency as it is: what the paper's row of that name looks like."""

from juggler.predict.learning.plain_trees import PlainTrees

LEARNER = PlainTrees("xgboost_raw", "boosted trees of the latency in ms, on the paper's features", logs=False)
