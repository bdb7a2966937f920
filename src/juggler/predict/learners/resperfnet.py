"""ResPerfNet's 26 layers with settings that train: a lower rate and penalty, log(1 + t) as the answer."""

from juggler.predict.net_learner import NetLearner

LEARNER = NetLearner(
    "resperfnet",
    "ResPerfNet, 26 layers, tuned: Box-Cox, z-scores, MAPLE on log(1 + t), rate 0.001, L2 1e-6, 60 epochs",
    {
        **{"architecture": "resperfnet", "transform": True, "output": "log_scaled", "rate": 1e-3},
        **{"l2": 1e-6, "epochs": 60, "decay_every": 10, "batch": 128},
    },
)
