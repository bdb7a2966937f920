"""ResPerfNet's 26 layers with settings that train on latencies of microseconds to seconds.

MAPLE of log(1 + 10 t) divides by nearly nothing where t is a microsecond, and drives all answers to zero
there. The answer is log t instead, its loss the mean absolute error, which is relative to t; sizes are logs
in place of Box-Cox. Chosen on a fifth of the training rows of one fold.
"""

from juggler.predict.learning.net_learner import NetLearner

LEARNER = NetLearner(
    "resperfnet",
    "ResPerfNet, 26 layers, tuned: sizes as logs, z-scores, log t, rate 0.001, L2 1e-5, 100 epochs",
    {
        "architecture": "resperfnet",
        "features": "log",
        "output": "log",
        "rate": 1e-3,
        "l2": 1e-5,
        "epochs": 100,
        "decay_every": 20,
        "batch": 32,
    },
)
