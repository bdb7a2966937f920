"""A perceptron on the log of the ratio to a fitted roofline: the smooth partner of the trees in the stack."""

from juggler.predict.learning.net_learner import NetLearner

LEARNER = NetLearner(
    "roofline_net",
    "a perceptron on the log of the ratio to a fitted roofline, on rich features",
    {
        "architecture": "ratio",
        "features": "rich",
        "output": "ratio",
        "rate": 2e-3,
        "l2": 1e-6,
        "epochs": 80,
        "decay_every": 12,
        "batch": 128,
    },
)
