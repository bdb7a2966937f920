"""What it will take: campaigns of micro-benchmarks, learners, and whole networks composed of kernels.

Names are looked up when they are first used, so that a command line which only lists its verbs imports
neither torch nor onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.campaign.fleet.driver import run_fleet
    from juggler.predict.campaign.networks import TimedNetwork, time_networks
    from juggler.predict.campaign.options import CampaignOptions
    from juggler.predict.campaign.run import run_campaign
    from juggler.predict.campaign.store.samples import Store
    from juggler.predict.extract.kernels import extract_kernels
    from juggler.predict.fit.predictor import fit_predictor
    from juggler.predict.fit.recalibrate import recalibrate
    from juggler.predict.kernels.sample import Sample
    from juggler.predict.kernels.spec import FAMILIES, KernelSpec
    from juggler.predict.kernels.table import KernelTable
    from juggler.predict.predictor.prediction import Prediction
    from juggler.predict.predictor.predictor import Predictor

__all__ = [
    "FAMILIES",
    "CampaignOptions",
    "KernelSpec",
    "KernelTable",
    "Prediction",
    "Predictor",
    "Sample",
    "Store",
    "TimedNetwork",
    "extract_kernels",
    "fit_predictor",
    "recalibrate",
    "run_campaign",
    "run_fleet",
    "time_networks",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.predict.campaign.fleet.driver": ["run_fleet"],
        "juggler.predict.campaign.networks": ["TimedNetwork", "time_networks"],
        "juggler.predict.campaign.options": ["CampaignOptions"],
        "juggler.predict.campaign.run": ["run_campaign"],
        "juggler.predict.campaign.store.samples": ["Store"],
        "juggler.predict.extract.kernels": ["extract_kernels"],
        "juggler.predict.fit.predictor": ["fit_predictor"],
        "juggler.predict.fit.recalibrate": ["recalibrate"],
        "juggler.predict.kernels.sample": ["Sample"],
        "juggler.predict.kernels.spec": ["FAMILIES", "KernelSpec"],
        "juggler.predict.kernels.table": ["KernelTable"],
        "juggler.predict.predictor.prediction": ["Prediction"],
        "juggler.predict.predictor.predictor": ["Predictor"],
    },
)
