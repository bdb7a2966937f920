"""Say what weighed most: the fall of the score when a feature is set to its neutral value (occlusion)."""

from __future__ import annotations

import numpy as np

from juggler.data import Records
from juggler.detect.detector import NORMAL, Detector


class OcclusionAttribution:
    """Work out what weighed most in one record, all features in one run of the network.

    A record that several features give away, each by itself, falls little without any one of them: the
    falls rank the features, they do not add up to the score.

    Args:
        detector: scores the record without each feature.
        most: how many features to name; 0 names none, at no cost.
    """

    def __init__(self, detector: Detector, most: int = 5) -> None:
        self._detector, self._most = detector, most

    def weigh(self, records: Records, row: int = 0) -> dict[str, float]:
        """Return the features of one record that weighed most, largest first, with the fall of the score.

        Features without which the score does not fall are left out.
        """
        if not self._most:
            return {}
        encoder, record = self._detector.encoder, records.take([row])
        images = np.concatenate([encoder.encode(record), encoder.encode_without_each(record)])
        normal = self._detector.of_images(images)[:, NORMAL]
        # p(normal) without the feature less p(normal) with it is the fall of 1 - p(normal).
        falls = normal[1:] - normal[0]
        order = np.argsort(-falls, kind="stable")[: self._most]
        return {encoder.features[i]: float(falls[i]) for i in order.tolist() if falls[i] > 0}
