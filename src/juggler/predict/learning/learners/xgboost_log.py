"""XGBoost on the log of the latency, for which a relative error is the same at every size."""

from juggler.predict.learning.plain_trees import PlainTrees

LEARNER = PlainTrees("xgboost_log", "boosted trees of the latency's log, on the paper's features", logs=True)
