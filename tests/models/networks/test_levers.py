"""Levers of a recipe: each acts, each is what its source says, and none survives in what is deployed."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from juggler import models
from juggler.data import Standard
from juggler.errors import ConfigError, DataError
from juggler.models import Recipe, fit, weights_sha256
from juggler.models.train.device_data import DeviceData, augmentation, standardise
from juggler.models.train.objective import TURNS, branched, distance, in_turn, kernel_penalty
from juggler.models.train.optimization import linear_share, make_optimizer
from juggler.transform import flatten
from made_up_pictures import Bars

RECIPE = Recipe(epochs=1, batch_size=32, learning_rate=0.05, warmup_epochs=0.5, accelerator="cpu")
PICTURES = Bars().training()
STANDARD = Standard.fit(PICTURES)


def network(seed: int = 0, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    small = {
        "widths": (6,),
        "blocks": (1,),
        "strides": (1,),
        "image_size": (8, 8),
        "in_channels": 3,
        "classes": 3,
    }
    return models.create("juggler_tabular", **{**small, **options})


def trained(recipe: Recipe, module: nn.Module, teacher: nn.Module | None = None) -> str:
    fit(module, PICTURES.images, PICTURES.labels, recipe, standard=STANDARD, teacher=teacher)
    return weights_sha256(module)


LEVERS: tuple[dict[str, object], ...] = (
    {"flip": True},
    {"random_crop": 2},
    {"cutout": 3},
    {"kernel_decay": 0.1},
    {"ema_decay": 0.9},
    {"label_smoothing": 0.1},
    {"mixup_alpha": 0.3},
)


@pytest.mark.parametrize("lever", LEVERS)
def test_each_changes_the_outcome_and_gives_the_same_for_the_same_seed(lever: dict[str, object]) -> None:
    changed = dataclasses.replace(RECIPE, **lever)
    first, again = trained(changed, network()), trained(changed, network())
    assert first == again != trained(RECIPE, network())


def test_all_go_together_and_flatten_to_the_plain_graph() -> None:
    everything = {name: value for lever in LEVERS for name, value in lever.items()}
    recipe = dataclasses.replace(RECIPE, epochs=3, linear_by=0.5, distill_weight=0.4, **everything)
    module = network(activations=True, identity="norm", start="identity", branches=("spatial", "average"))
    trained(recipe, module, teacher=network(seed=9, widths=(8,)))
    example = torch.randn(2, 3, 8, 8)
    flat, plain = (flatten(net.eval(), example) for net in (module, network()))
    assert flat.certificate.passed
    shapes = [[tuple(w.shape) for w in done.model.parameters()] for done in (flat, plain)]
    assert shapes[0] == shapes[1]
    assert [n.op for n in flat.model.graph.nodes] == [n.op for n in plain.model.graph.nodes]


def test_annealed_activations_are_linear_from_the_share_that_was_asked_for() -> None:
    recipe = Recipe(epochs=10, linear_by=0.6)
    shares = [linear_share(step, 20, recipe) for step in range(200)]
    assert shares == sorted(shares) and 0 < shares[0] < 0.02
    assert shares[118] < 1 and shares[119] == shares[-1] == 1


@pytest.mark.parametrize(
    ("options", "changes", "found"),
    [
        ({"activations": True}, {}, "linear_by is 0"),
        ({}, {"linear_by": 0.5}, "linear_by is 0.5"),
        ({}, {"distill_weight": 0.5}, "distill_weight is 0.5"),
        ({}, {"random_crop": 8}, "random_crop is 8"),
        ({}, {"cutout": 9}, "cutout is 9"),
    ],
)
def test_refuses_a_lever_with_nothing_to_act_on(
    options: dict[str, object], changes: dict[str, object], found: str
) -> None:
    with pytest.raises(ConfigError, match=found):
        trained(dataclasses.replace(RECIPE, **changes), network(**options))


def test_refuses_to_decay_kernels_where_there_are_no_branches_and_a_teacher_of_no_weight() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(ConfigError, match="kernel_decay"):
        trained(dataclasses.replace(RECIPE, kernel_decay=0.1), plain)
    with pytest.raises(ConfigError, match="distill_weight is 0"):
        trained(RECIPE, network(), teacher=network(1))


def test_the_teacher_is_left_alone_and_its_answers_are_met() -> None:
    # Labels say nothing: what the student knows in the end, it has from the teacher.
    teacher = network(1)
    fit(teacher, PICTURES.images, PICTURES.labels, dataclasses.replace(RECIPE, epochs=8), standard=STANDARD)
    before = weights_sha256(teacher)
    student = network(2)
    recipe = dataclasses.replace(RECIPE, epochs=8, distill_weight=1.0, distill_temperature=2.0)
    nonsense = np.roll(PICTURES.labels, 7)
    fit(student, PICTURES.images, nonsense, recipe, standard=STANDARD, teacher=teacher)
    assert weights_sha256(teacher) == before
    held = Bars().load("test").images
    theirs, ours = (models.probabilities(net, held, standard=STANDARD) for net in (teacher, student))
    assert (theirs.argmax(1) == ours.argmax(1)).mean() > 0.9


def test_distance_is_the_divergence_of_the_softened_answers() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(5, 4, dtype=torch.float32, generator=draw) for _ in range(2))
    found = distance(ours, theirs, 3.0)
    p, q = (F.softmax(logits.double() / 3, 1) for logits in (theirs, ours))
    torch.testing.assert_close(found.double(), 9 * (p * (p / q).log()).sum(1), rtol=1e-5, atol=1e-7)
    assert torch.equal(distance(ours, ours, 3.0), torch.zeros(5))


def test_decay_of_kernels_spares_the_branches_own_weights_and_nothing_else() -> None:
    module = network()
    optimizer = make_optimizer(module, dataclasses.replace(RECIPE, kernel_decay=0.1, weight_decay=0.2))
    decayed = {id(w) for group in optimizer.param_groups if group["weight_decay"] for w in group["params"]}
    inside = {id(w) for block in branched(module) for w in block.parameters()}
    weights = {id(w) for w in module.parameters() if w.ndim > 1}
    assert decayed == weights - inside and inside


def test_in_as_many_steps_as_there_are_turns_every_kernel_is_decayed_once() -> None:
    module = network().double()
    blocks = branched(module)
    weight = next(blocks[-1].parameters())
    turns = [in_turn(blocks, step) for step in range(7 * TURNS, 8 * TURNS)]
    assert sorted(id(block) for turn in turns for block in turn) == sorted(map(id, blocks))
    (whole,) = torch.autograd.grad(kernel_penalty(blocks), weight)
    alone = [
        torch.autograd.grad(kernel_penalty(turn), weight, allow_unused=True)[0] for turn in turns if turn
    ]
    torch.testing.assert_close(sum(found for found in alone if found is not None), whole)
    assert whole.abs().max() > 0


def grid(count: int = 64, side: int = 12) -> Tensor:
    """Return pictures each of whose pixels is told from all others of its picture."""
    return torch.arange(1.0, count * 3 * side * side + 1).view(count, 3, side, side)


def test_flip_turns_about_half_of_the_pictures_and_only_left_to_right() -> None:
    x = grid()
    torch.manual_seed(0)
    found = augmentation(Recipe(flip=True), (12, 12))(x)
    turned = [torch.equal(a, b.flip(-1)) for a, b in zip(found, x, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(found, x, strict=True)]
    assert all(a != b for a, b in zip(turned, kept, strict=True))
    assert 16 < sum(turned) < 48


def test_shift_moves_each_picture_as_a_whole_and_brings_zeros_in() -> None:
    x = grid()
    torch.manual_seed(0)
    found = augmentation(Recipe(random_crop=2), (12, 12))(x)
    places = set()
    for before, after in zip(x, found, strict=True):
        padded = F.pad(before, (2, 2, 2, 2))
        corners = itertools.product(range(5), repeat=2)
        fits = [(i, j) for i, j in corners if torch.equal(padded[:, i : i + 12, j : j + 12], after)]
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) > 15


def test_cutout_sets_one_square_to_zero() -> None:
    x = grid()
    torch.manual_seed(0)
    found = augmentation(Recipe(cutout=4), (12, 12))(x)
    places = set()
    for before, after in zip(x, found, strict=True):
        gone = after[0] == 0
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        assert int(gone.sum()) == 16 and len(rows) == len(columns) == 4
        assert torch.equal(after[:, ~gone], before[:, ~gone]) and bool((after[:, gone] == 0).all())
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 20


def test_bytes_become_what_the_standard_makes_of_them() -> None:
    pictures = torch.from_numpy(PICTURES.images)
    found = standardise(pictures, STANDARD)
    np.testing.assert_allclose(found.numpy(), STANDARD.apply(PICTURES.images), rtol=1e-4, atol=1e-5)
    data = DeviceData(
        pictures, torch.zeros(240), torch.ones(240), STANDARD, torch.device("cpu"), channels_last=True
    )
    batch = data.pictures(torch.tensor([3, 1]))
    assert batch.is_contiguous(memory_format=torch.channels_last) and torch.equal(batch, found[[3, 1]])


def test_refuses_bytes_without_a_standard_and_a_standard_without_bytes() -> None:
    with pytest.raises(DataError, match="no standard"):
        fit(network(), PICTURES.images, PICTURES.labels, RECIPE)
    with pytest.raises(DataError, match="a standard"):
        fit(network(), PICTURES.images.astype(np.float32), PICTURES.labels, RECIPE, standard=STANDARD)
