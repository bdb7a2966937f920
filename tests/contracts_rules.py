"""What every rewriting rule must pass, the house's own and those of third parties."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False
import inspect
import re
from typing import Any

import torch
from torch import nn

from juggler.transform import flatten

EQUATION = re.compile(r"`[^`]+ -> [^`]+`: \S.*\.")


class Branches(nn.Module):
    """A little of everything that rules look for, and walls between."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.one = nn.Conv2d(4, 8, 1, padding=1, bias=False)
        self.one_norm = nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 4, 3)
        self.side = nn.Conv2d(4, 4, 1)
        self.side_norm = nn.BatchNorm2d(4)
        self.passive = nn.Sequential(nn.Identity(), nn.Dropout(0.5))
        self.chain = nn.Sequential(nn.Conv2d(4, 8, 1, padding=1), nn.Conv2d(8, 4, 3), nn.ReLU())
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.narrow, self.average = nn.Conv2d(4, 8, 1), nn.AvgPool2d(2)
        self.reds, self.blues = nn.Conv2d(8, 3, 3, padding=1), nn.Conv2d(8, 5, 3, padding=1)
        self.ones, self.others = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 1)
        self.summed, self.sum_norm = nn.ModuleList(nn.Conv2d(8, 4, 3) for _ in range(2)), nn.BatchNorm2d(4)
        self.leak = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU())
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.passive(self.stem(x))
        x = self.relu(self.two(self.one_norm(self.one(x))) + self.side(x))
        x = self.chain(x)
        x = self.relu(self.left(x) + self.right(x))
        x = self.relu(torch.add(self.last(x), self.side_norm(x)))
        x = self.leak(x)
        x = self.average(self.narrow(x))
        x = self.relu(torch.cat((self.reds(x), self.blues(x)), 1))
        one, other = self.relu(self.ones(x)), self.relu(self.others(x))
        x = self.relu(torch.cat((one * other[:, :4], other[:, 2:]), 1))
        left, right = self.summed
        return self.relu(self.sum_norm(left(x) + right(torch.relu(x))))


def randomised(network: nn.Module, seed: int = 0) -> Any:
    """Draw every parameter and statistic anew, so that no default hides an error."""
    torch.manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith("running_var") else tensor.normal_(0, 0.4)
    return network.eval()


def check_rule(name, rule, network=None):
    """Check a rule on `network`, 3 channels in, that holds its pattern; by default on `Branches`."""
    assert rule.name == name, "a rule bears its file's name"
    equation = (inspect.getdoc(type(rule)) or "").splitlines()[0]
    assert EQUATION.fullmatch(equation), "a rule's docstring begins with its equation, and then in words"
    assert rule.source, "a rule says which paper, section or equation it follows"
    network = randomised(network or Branches())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    options: dict[str, Any] = {"policy": "model", "cost": _fewest_ops} if rule.tried else {}
    example, inputs = torch.randn(1, 3, 17, 18), torch.randn(5, 3, 17, 18)
    done = flatten(network, example, inputs=inputs, use=[rule], **options)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items()), "the input is not changed"
    assert done.rewrites, "the rule finds something in a network that holds every pattern"
    assert {r.rule for r in done.rewrites} == {name}
    assert done.certificate.passed
    assert done.certificate.worst("float64") < 1e-12
    if not rule.tried:
        assert all(r.macs_after <= r.macs_before for r in done.rewrites), "the default policy never adds work"
    again = flatten(done.model, example, use=[rule], **options)
    assert not again.rewrites, "a rule leaves nothing of its own to do"


def _fewest_ops(network, examples):
    """Price a form by its heavy ops, so that whatever joins two of them is taken."""
    return float(sum(node.op == "call_module" for node in network.graph.nodes))
