"""Small campaigns of the model: adapters do as it does, and it sees what is broken in them."""

from argparse import Namespace

import model
import pytest
from test_adapters import EXAMPLE, FAULTS

SMALL = ["--examples", "12", "--steps", "30", "--seed", "3"]
# With these the campaign comes upon it in its first examples; with others later.
SEEDS = {
    "all attempts for a person": 4,
    "all crashes for a person": 4,
    "all or nothing": 3,
    "attempts are counted": 1,
    "attempts are given back": 7,
    "crashes are counted": 1,
    "fence by attempts": 7,
    "fence by state": 1,
    "fence by worker": 7,
    "ids are never used again": 8,
    "lease": 5,
    "no attempt where it does not load": 4,
    "no attempt where it is snoozed": 1,
    "not before it is due": 1,
    "not ready before it is due": 1,
    "nothing goes while jobs run": 4,
    "once it is due": 3,
    "only what went wrong is tried again": 3,
    "order by priority": 1,
    "order by run_at": 1,
    "order of what is returned": 3,
    "order over queues": 1,
    "the backoff": 1,
    "the queue": 2,
    "what is cancelled has not failed": 1,
    "what is known is no stray": 3,
    "what was begun": 1,
    "what was only found": 50,
}
FAULT_SEEDS = {
    "finds early": 4,
    "knows no priority": 3,
    "settles any attempt": 3,
    "spends attempts on jobs that do not load": 2,
    "takes running jobs from the living": 1,
    "uses ids again": 1,
}


@pytest.mark.parametrize("adapter", model.MACHINES)
def test_an_adapter_does_as_the_model(adapter):
    report = model.main(["--adapter", adapter, *SMALL])

    assert model.is_kept(report)
    assert min(report[key] for key in ("stored", "found", "settled", "settled late")) > 0


@pytest.mark.parametrize("guard", sorted(model.SQL | model.CODE))
def test_the_campaign_sees_an_adapter_without(guard):
    words = ["--examples", "1000", "--steps", "30", "--seed", str(SEEDS[guard])]

    report = model.main([*words, "--break", guard])

    assert not model.is_kept(report), report


@pytest.mark.parametrize("fault", FAULT_SEEDS)
def test_the_model_of_the_contract_alone_sees_an_adapter_that(fault):
    right, _, wrong = FAULTS[fault].partition(" -> ")
    faulty = EXAMPLE.read_text("utf-8").replace(right, wrong)

    class Faulty(model.AdapterModel):
        def make(self, place, clock):
            return model.load(faulty, place).MemoryAdapter("jobs", clock=clock)

    options = Namespace(examples=1000, steps=30, seed=FAULT_SEEDS[fault], breaks=fault)

    assert model.differs(Faulty, options)
