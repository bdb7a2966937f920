"""PerfNet (Wang et al. 2020): a perceptron on the paper's features, tuned as `resperfnet` is."""

from juggler.predict.learning.net_learner import NetLearner

LEARNER = NetLearner(
    "perfnet",
    "PerfNet's perceptron: sizes as logs, z-scores, log t, rate 0.002, 200 epochs",
    {
        "architecture": "perfnet",
        "features": "log",
        "output": "log",
        "rate": 2e-3,
        "l2": 1e-5,
        "epochs": 200,
        "decay_every": 40,
        "batch": 32,
    },
)
