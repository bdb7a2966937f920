"""PerfNet (Wang et al. 2020): a perceptron on the paper's features, by ResPerfNet's loss."""

from juggler.predict.net_learner import NetLearner

LEARNER = NetLearner(
    "perfnet",
    "PerfNet's perceptron, z-scores, MAPLE loss, Adam at rate 0.001",
    {"architecture": "perfnet", "rate": 1e-3, "l2": 1e-6, "epochs": 200},
)
