"""Each rule passes the contract; each refusal says why and what to do."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import contracts_rules
from juggler.errors import ConfigError, Refused
from juggler.transform import Proposal, flatten, rules
from juggler.transform.algebra.values import Elementwise


@pytest.mark.parametrize("name", rules().names())
def test_every_rule_keeps_the_contract(name):
    contracts_rules.check_rule(name, rules().get(name))


def refusal(network, size=9, **options):
    """Flatten and return the one refusal; the network must still be the same function."""
    network = contracts_rules.randomised(network)
    done = flatten(network, torch.randn(1, 4, size, size), **options)
    assert done.certificate.passed
    x = torch.randn(2, 4, size, size)
    assert torch.allclose(network(x), done.model(x), atol=1e-5)
    assert len(done.refusals) == 1, done.refusals
    assert done.refusals[0].remedy
    return done.refusals[0]


def test_a_shared_module_is_folded_call_by_call():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.one = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.one(self.conv(F.relu(self.conv(x))))

    network = contracts_rules.randomised(Shared())
    done = flatten(network, torch.randn(1, 4, 9, 9))
    assert [r.rule for r in done.rewrites] == ["fold_scale"]
    assert done.certificate.passed, "the other call keeps what it had"


def test_a_module_under_two_names_is_folded_where_it_is_read():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    network = contracts_rules.randomised(nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), conv))
    done = flatten(network, torch.randn(1, 4, 9, 9))
    assert len(done.rewrites) == 1
    assert done.certificate.passed


def test_missing_running_statistics_are_refused():
    found = refusal(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)))
    assert "no running statistics" in found.reason
    assert "track_running_stats=True" in found.remedy


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_padding_mode_is_refused(mode):
    conv = nn.Conv2d(4, 4, 3, padding=1, padding_mode=mode)
    assert mode in refusal(nn.Sequential(conv, nn.BatchNorm2d(4))).reason


def test_a_kernel_that_leaks_over_the_border_is_refused():
    found = refusal(nn.Sequential(nn.Conv2d(4, 1, 3, padding=1, bias=False), nn.Conv2d(1, 8, 3, padding=1)))
    assert found.rule == "fuse_vertical"
    assert found.reason.startswith("border")
    assert "Move all padding" in found.remedy


def test_two_3x3_and_a_merged_bottleneck_do_not_pay():
    first, second = nn.Conv2d(4, 4, 3, padding=2), nn.Conv2d(4, 4, 3)
    assert "does not pay" in refusal(nn.Sequential(first, second)).reason
    narrow = nn.Sequential(nn.Conv2d(4, 1, 1, padding=1), nn.Conv2d(1, 4, 3))
    assert "does not pay" in refusal(narrow).reason
    always = flatten(narrow, torch.randn(1, 4, 9, 9), policy="always")
    assert [r.rule for r in always.rewrites] == ["fuse_vertical"]
    assert always.certificate.passed


def test_a_wall_between_branches_is_named():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.side = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            return self.two(F.relu(self.one(x))) + self.side(x)

    assert "a wall" in refusal(Residual()).reason


def test_an_output_that_others_read_stays():
    class Tapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return F.relu(self.norm(y)) * y

    assert "also read by" in refusal(Tapped()).reason


def test_a_tensor_overwritten_in_place_is_refused():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = x * 1.0
            y = self.conv(x)
            z = self.relu(x)
            return self.norm(y) * z

    assert "overwritten in place" in refusal(InPlace()).reason


def test_a_subclass_that_computes_something_else_is_a_wall():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)

    found = refusal(nn.Sequential(Standardised(4, 4, 3, padding=1), nn.BatchNorm2d(4)))
    assert "computes something else than the class it inherits from, Conv2d" in found.reason


def test_rewrites_that_only_fail_together_are_rolled_back_together():
    class Lie:
        """Drops a clamp: right for the small numbers of its own check, wrong in the network."""

        name, source, tried = "lie", "none", False

        def propose(self, term, expression):
            if isinstance(term.value, Elementwise):
                yield Proposal(((term, term.reads[0]),))

    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Hardtanh(-50, 50)).eval()
    network[0].weight.data.mul_(1000)
    x = torch.randn(1, 4, 9, 9)
    done = flatten(network, x, use=[Lie()])
    assert done.rewrites == ()
    assert "all rewrites were rolled back" in done.refusals[0].reason
    assert torch.equal(network(x), done.model(x))
    assert [r.rule for r in done.rolled_back] == ["lie"]
    assert done.warning.startswith("ROLLED BACK: 1 of 1 rewrites")


def test_a_rule_that_raises_says_no_more_of_the_term():
    class Broken:
        """Raises."""

        name, source, tried = "broken", "none", False

        def propose(self, term, expression):
            raise KeyError("somebody's own")
            yield

    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    done = flatten(network, torch.randn(1, 4, 5, 5), use=[Broken(), *(rule for _, rule in rules())])
    assert done.certificate.passed
    assert [r.rule for r in done.rewrites] == ["fold_scale"]


def test_training_mode_is_refused_by_name():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()
    network[1].train()
    with pytest.raises(Refused, match=r"training mode \(1.*model\.eval\(\)"):
        flatten(network, torch.randn(1, 4, 5, 5))


def test_control_flow_on_values_is_refused():
    class Depends(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(Refused, match="control flow"):
        flatten(Depends().eval(), torch.randn(1, 4, 5, 5))


def test_bad_requests_are_refused_before_work_begins():
    network = nn.Sequential(nn.Conv2d(4, 4, 1)).eval()
    with pytest.raises(ConfigError, match="example"):
        flatten(network, torch.zeros(1, 4, 5, 5, dtype=torch.long))
    with pytest.raises(Refused, match="one element type"):
        flatten(network, torch.randn(1, 4, 5, 5).double())
    with pytest.raises(Refused, match="shape"):
        flatten(network, torch.randn(1, 3, 5, 5))
    with pytest.raises(ConfigError, match="policy"):
        flatten(network, torch.randn(1, 4, 5, 5), policy="sometimes")
    network[0].weight.data[0, 0] = float("nan")
    with pytest.raises(Refused, match="not finite"):
        flatten(network, torch.randn(1, 4, 5, 5))
