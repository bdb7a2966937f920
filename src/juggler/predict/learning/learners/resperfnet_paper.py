"""ResPerfNet with the settings of the paper's Algorithm 1: Adam at 0.1, halved every 40 epochs, L2 0.1.

Kept to be reported: at that rate and that penalty Adam keeps the weights near zero.
"""

from juggler.predict.learning.net_learner import NetLearner

LEARNER = NetLearner(
    "resperfnet_paper",
    "ResPerfNet, 26 layers, as published: Box-Cox, z-scores, MAPLE, rate 0.1, L2 0.1, 200 epochs",
    {"architecture": "resperfnet", "transform": True},
)
