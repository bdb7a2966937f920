"""Ask whether records are such as the detector was trained on: no score says so by itself.

Label-encoded, scaled or shuffled records are numbers too, and a network answers whatever it is asked. What
gives them away: words that no vocabulary holds, fractions where training saw whole numbers, numbers beyond
all that training saw, and alarms nearly everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from juggler.data import Encoder, Records

FEW_RECORDS = 10  # fewer say nothing
FEW_ALARMS = 100
_SAMPLE = 256  # records of a block that are looked at; words are counted in all of them
_MOST_WORDS, _MOST_FRACTIONS, _MOST_BEYOND, _MOST_BAD, _MOST_ALARMS = 0.5, 0.5, 0.2, 0.5, 0.95
_NEARLY, _WHOLE = 1e-6, 1e-3


class Plausibility:
    """Count what records have that training records do not.

    Args:
        encoder: fitted on the training records; its knots say what they held.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._categorical = encoder.categorical
        self._unknown = np.zeros(len(encoder.categorical), dtype=np.int64)
        self._records = self._sampled = self._beyond = self._fractions = 0
        counts = [code for code in encoder.codes if code.kind == "count"]
        self._rows = [encoder.numeric.index(code.feature) for code in counts]
        knots = [np.expm1(np.array(code.knots)) for code in counts]
        self._most = np.array([each[-1] * (1 + _NEARLY) + _NEARLY for each in knots])[:, None]
        self._is_whole = np.array([_are_whole(each) for each in knots], dtype=np.bool_)

    def take(self, records: Records) -> None:
        """Look at some records of a block, and at the words of all."""
        self._records += len(records)
        self._unknown += np.count_nonzero(records.codes < 0, axis=1)
        sample = records.numbers[self._rows, :: max(1, len(records) // _SAMPLE)]
        self._sampled += sample.shape[1]
        self._beyond += int(np.count_nonzero((sample > self._most).any(axis=0)))
        integral = sample[self._is_whole]
        is_fraction = np.abs(integral - np.rint(integral)) > _NEARLY
        self._fractions += int(np.count_nonzero(is_fraction.any(axis=0)))

    def doubts(self, alarms: int, bad_rows: int, words: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
        """Return what speaks against the records, in words; nothing where nothing does.

        Args:
            alarms: records that were alarms.
            bad_rows: lines that were no records.
            words: how often each unknown word came, by column and word.
        """
        doubts = []
        lines = self._records + bad_rows
        if lines >= FEW_RECORDS and bad_rows > _MOST_BAD * lines:
            doubts.append(f"{bad_rows:,} of {lines:,} lines are no records")
        if self._records < FEW_RECORDS:
            return tuple(doubts)
        for name, count in zip(self._categorical, self._unknown.tolist(), strict=True):
            if count > _MOST_WORDS * self._records:
                listed = [repr(word) for column, word in words if column == name][:3]
                examples = f" ({', '.join(listed)})" if listed else ""
                doubts.append(f"{name} is unknown in {count:,} of {self._records:,} records{examples}")
        if self._fractions > _MOST_FRACTIONS * self._sampled:
            share = self._fractions / self._sampled
            doubts.append(f"{share:.0%} of the records have fractions where training saw none: scaled?")
        if self._beyond > _MOST_BEYOND * self._sampled:
            share = self._beyond / self._sampled
            doubts.append(f"{share:.0%} of the records are beyond all that training saw: in another order?")
        if self._records >= FEW_ALARMS and alarms > _MOST_ALARMS * self._records:
            doubts.append(f"{alarms:,} of {self._records:,} records are alarms")
        return tuple(doubts)


def _are_whole(knots: np.ndarray) -> bool:
    """Say whether most knots are whole numbers, as quantiles of whole numbers are."""
    return bool(np.median(np.abs(knots - np.rint(knots))) < _WHOLE)
