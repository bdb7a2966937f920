"""The machine's ceiling: real products, a made-up time source."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from juggler.clock.ceiling import Product, copy_gb_per_s, tuned_product

SIDES = (32, 64)


def ticks(step_ns):
    count = itertools.count()
    return lambda: next(count) * step_ns


def test_a_product_counts_multiplications_and_additions():
    product = Product("float32", "numpy", 100, lambda: None)
    assert product.gflop == pytest.approx(2e-3)
    assert product.gflop_per_s(1.0) == pytest.approx(2.0)


def test_at_equal_durations_the_larger_product_is_the_faster():
    found = tuned_product("float32", sides=SIDES, now_ns=ticks(1000))
    assert found is not None
    assert found.side == 64


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_product_computes_a_product(precision):
    found = tuned_product(precision, threads=1, sides=SIDES)
    if found is None:
        assert precision != "float32"
        return
    result = np.asarray(torch.as_tensor(found.call()).float())
    assert result.shape == (found.side, found.side)
    assert np.isfinite(result).all()
    assert result.std() > 1.0  # of sums of 32 products or more, each of standard deviation 1 or more


def test_threads_are_lent_for_a_call_only():
    before = torch.get_num_threads()
    found = tuned_product("float32", threads=1, sides=SIDES)
    assert found is not None
    found.call()
    assert torch.get_num_threads() == before


def test_a_copy_counts_bytes_read_and_written():
    assert copy_gb_per_s(copy_bytes=4000, now_ns=ticks(1000)) == pytest.approx(8.0)
