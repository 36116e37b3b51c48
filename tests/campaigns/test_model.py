"""Small campaigns of the model: adapters do as it does, and it sees what is broken in them."""

from argparse import Namespace

import model
import pytest
from test_adapters import EXAMPLE, FAULTS

SMALL = ["--examples", "12", "--steps", "30", "--seed", "3"]
# With these, and as many examples, the campaign comes upon it in its first; with others later. But
# hypothesis draws from the constants of all modules that are loaded, too: hence TRIES.
SEEDS = {
    "a queue that is paused": 3,
    "all attempts for a person": 3,
    "all crashes for a person": 4,
    "all or nothing": 6,
    "all that asks for the end for a person": 4,
    "attempts are counted": 1,
    "attempts are given back": 5,
    "crashes are counted": 2,
    "every queue that is paused": 1,
    "fence by attempts": 33,
    "fence by state": 3,
    "fence by worker": 2,
    "ids are never used again": 5,
    "lease": 1,
    "no attempt where it does not load": 3,
    "no attempt where it is snoozed": 3,
    "not before it is due": 1,
    "not ready before it is due": 1,
    "nothing goes while jobs run": 4,
    "once it is due": 1,
    "only that queue is resumed": 3,
    "only what went wrong is tried again": 1,
    "order by priority": 1,
    "order by run_at": 1,
    "order of what is returned": 1,
    "order over queues": 5,
    "the age": 1,
    "the backoff": 1,
    "the queue": 2,
    "what is asked to end has not failed": 5,
    "what is asked to end is not given back": 3,
    "what is asked to end is not put off": 5,
    "what is cancelled has not failed": 2,
    "what is known is no stray": 4,
    "what is over is not cancelled": 6,
    "what says how long it stays": 3,
    "what stays longer than others": 2,
    "what was begun": 3,
    "what was only found": 3,
}
TRIES = 40  # seeds, one after the other
FAULT_SEEDS = {
    "finds early": 3,
    "knows no priority": 1,
    "settles any attempt": 6,
    "spends attempts on jobs that do not load": 1,
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
    words = ["--examples", "30", "--steps", "30", "--break", guard]
    seeds = range(SEEDS[guard], SEEDS[guard] + TRIES)

    assert any(not model.is_kept(model.main([*words, "--seed", str(seed)])) for seed in seeds)


@pytest.mark.parametrize("fault", FAULT_SEEDS)
def test_the_model_of_the_contract_alone_sees_an_adapter_that(fault):
    right, _, wrong = FAULTS[fault].partition(" -> ")
    faulty = EXAMPLE.read_text("utf-8").replace(right, wrong)

    class Faulty(model.AdapterModel):
        def make(self, place, clock):
            return model.load(faulty, place).MemoryAdapter("jobs", clock=clock)

    assert any(
        model.differs(Faulty, Namespace(examples=40, steps=30, seed=seed, breaks=fault))
        for seed in range(FAULT_SEEDS[fault], FAULT_SEEDS[fault] + TRIES)
    )
