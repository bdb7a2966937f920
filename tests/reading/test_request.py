"""Whatever malformed bytes make go wrong ends in the error of who asked."""

from __future__ import annotations

import zipfile

import pytest

from juggler.errors import ConfigError, DataError
from juggler.reading.request import Request

REQUEST = Request("read it", "Mend it", DataError)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), RecursionError("x"), OverflowError("x"), zipfile.BadZipFile("x")],
)
def test_foreign_errors_are_turned_into_the_requests(error):
    fault = rf"no file \({type(error).__name__}: .*x.*\)\. Mend it"
    with pytest.raises(DataError, match=fault), REQUEST.refusing("file"):
        raise error


def test_memory_and_errors_of_the_house_keep_their_words():
    with pytest.raises(DataError, match="more memory than there is"), REQUEST.refusing("file"):
        raise MemoryError
    with pytest.raises(ConfigError, match="elsewhere"), REQUEST.refusing("file"):
        raise ConfigError("ask elsewhere", "nothing", "Wait")


def test_a_defect_of_the_house_stays_one():
    with pytest.raises(NameError), REQUEST.refusing("file"):
        raise NameError("undefined")
