"""A seeded sample of all faults of a cluster's life; `make faults` runs every one (__main__.py).
KC_FAULTS lives, KC_SEED the seed."""

import os
import random

import pytest
from lab.faults import points_of
from lab.hosts import LabHosts

from .life import VERBS, Life

LIVES = int(os.environ.get("KC_FAULTS", "1"))
SEED = int(os.environ.get("KC_SEED", "1"))


@pytest.fixture(scope="module")
def life(kubectl, tmp_path_factory):
    with LabHosts(["cp1", "w1", "w2"]) as lab:
        yield Life(lab, kubectl, tmp_path_factory.mktemp("life"))


@pytest.fixture(scope="module")
def points(life):
    """What can go wrong, by verb: seen in a life in which nothing does."""
    found = {}

    def seen(verb, point, r, operations, reached, why):
        assert r.code == 0 and not why, (r, why)
        found[verb] = points_of(operations)

    life.live({}, seen)
    assert set(found) == set(VERBS)
    return found


@pytest.mark.parametrize("number", range(LIVES))
def test_life(life, points, number):
    """Each life has another part of what can go wrong; twice in each verb."""
    rng = random.Random(SEED * 1000 + number)
    chosen = {v: rng.sample(p[number::LIVES], 2) for v, p in points.items()}

    def seen(verb, point, r, operations, reached, why):
        print(f"{verb}: {point}: {'exit' if reached else 'not reached, exit'} {r.code}")
        assert not why, why

    life.live(chosen, seen)
