"""What the headers of tables mean: a page explains each that it uses, once, and lists them at its end."""

from __future__ import annotations

TERMS: dict[str, str] = {
    # a network, flattened
    "MACs": "multiply-accumulates: products that are added up, counted for one input",
    "rule": "one step of algebra, such as a scale that goes into the weights before it",
    "region": "linear ops between two others, named by the first and the last; they can be one convolution",
    "form": "what was taken for a region, or whether a row is of the original or the flat network",
    "worst error": "largest difference that any of these rewrites makes, of the largest value",
    "inside": "largest difference where no padding reaches, of the largest value",
    "border": "the same, where padding reaches",
    "output": "the same, of the network's answer",
    "limit": "a larger error fails the certificate",
    "weights": "actual: as they are; randomised: drawn anew, so that no error hides behind a zero",
    # time
    "median": "half of the calls took no longer",
    "p95": "95 of 100 calls took no longer",
    "p99": "99 of 100 calls took no longer",
    "throughput": "inputs in a second, at the median",
    "peak memory": "most memory that the process held",
    "interval": "from where to where the ratio lies, with 95 % confidence",
    "step adds": "how many times as fast as the step before, on its path",
    "flat adds": "how many times as fast as the original at the same step",
    "as fast": "how many times as fast as what the runtime makes of the original in float32",
    "signal to noise": "of the answers against those of the original in eager; more is nearer",
    # a detector
    "threshold": "an alarm is raised from this score on; the score is 1 - p(normal)",
    "AUC": "area under the curve of detection over false alarms; 1 is perfect, 0.5 is chance",
    "false alarms": "share of normal records that raised an alarm",
    "detected": "share of attacks that raised an alarm",
    "known types": "detected among the types of attack that training saw",
    "unseen types": "detected among those that it did not",
    "2-class accuracy": "share of records rightly called normal or attack",
    "all-class accuracy": "share of records given their own class",
    "macro F1": "mean over the classes of what is both right and complete, each class counting alike",
    "alert": "alarms that belong together: one class, protocol and connection, with no long gap",
    "alarms": "records whose score reached the threshold",
    "score": "largest 1 - p(normal) of the alert's records",
    "weighed most": "of the first record, the features without which the score falls most, and by how much; "
    "where several give a record away, it falls little without any one of them",
    # a predictor
    "learner": "the method that was fitted",
    "family": "kernels of one kind, such as convolutions",
    "learned": "kernels that it was fitted on",
    "held out": "kernels that it never saw, on which it is scored",
    "MAPE": "mean of the errors, each as per cent of what was measured",
    "RMSE": "root of the mean of the squared errors: large ones weigh more",
    "MAE": "mean of the errors, in milliseconds",
    "R²": "share of the variation that is predicted; 1 is all of it",
    "within 5 %": "share of predictions that are off by no more",
    "within 10 %": "share of predictions that are off by no more",
    "floor": "by how much two measurements of one kernel differ: no predictor can do better",
    "timed": "times that it was measured, at different batch sizes",
    "in the interval": "share of measurements that the predicted interval holds",
    "Eq. 2": "the paper's sum over the same kernels",
    "Eq. 2 of the paper": "the paper's sum over the same kernels",
    "off": "predicted less measured, of measured",
    "from": "lower end of the predicted interval",
    "to": "upper end of the predicted interval",
    # a survey
    "top-1": "share of pictures whose likeliest class is right",
    "top-5": "share of pictures with the right class among the five likeliest",
    "operations": "2 x multiply-accumulates",
    "elements": "cells of the array that multiply and add",
    "▲ cycles": "clock ticks of the array for one picture",
    "▲ busy": "share of the cells that work, over all ticks",
    "▲ on one array for all": "cycles on the array that is best for all networks, over those on its own best",
}


class Terms:
    """The terms of one page: each is explained where it comes first, and in the list at the end."""

    def __init__(self) -> None:
        self.used: dict[str, str] = {}

    def first(self, *names: str) -> str:
        """Return what the first of these names that is a term means; empty after its first time."""
        name = next((name for name in names if name in TERMS), "")
        if not name or name in self.used:
            return ""
        self.used[name] = TERMS[name]
        return TERMS[name]
