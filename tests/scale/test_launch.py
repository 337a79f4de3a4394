"""Which process of how many this is, by what launchers say; and which images are whose."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from striate.errors import UsageError
from striate.training.launch import ALONE, first_host, launched
from striate.training.shares import parts, positions, share

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "5",
    "TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_RUN_ID": "x",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "123456", "SLURM_NTASKS": "8",
}  # fmt: skip


def test_torchrun_and_srun_say_who_this_is() -> None:
    one = launched(TORCHRUN)
    assert (one.rank, one.size, one.local_rank, one.local_size, one.restarts) == (3, 4, 1, 2, 2)
    assert (one.address, one.port, one.name) == ("a", 5, "x")
    one = launched(SRUN)
    assert (one.rank, one.size, one.local_rank, one.local_size) == (5, 8, 1, 4)
    assert (one.address, one.name) == ("gpu07", "slurm-123456") and 15_000 <= one.port < 35_000


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "9"},  # a batch script without srun
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    ],
    ids=["nothing", "torchrun of one", "a batch script", "srun of one"],
)  # fmt: skip
def test_a_process_that_is_alone_finds_nobody(environment: dict[str, str]) -> None:
    assert launched(environment) is ALONE


@pytest.mark.parametrize(
    ("change", "words"),
    [({"RANK": "4"}, "process 4 of 4, counted from 0"), ({"RANK": "one"}, "RANK .* whole number, got 'one'"),
     ({"MASTER_PORT": ""}, "MASTER_PORT .* got ''")],
    ids=["rank", "word", "port"],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        launched({**TORCHRUN, **change})


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("node01", "node01"), ("node[01-04,07]", "node01"), ("a,b[1-2]", "a"), ("n[3,5]-ib,x", "n3-ib"), ("", "127.0.0.1")],
)  # fmt: skip
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


def test_shares_are_contiguous_even_and_whole() -> None:
    for count, size in itertools.product(range(12), range(1, 6)):
        own = [list(range(*share(count, rank, size))) for rank in range(size)]
        assert list(itertools.chain(*own)) == list(range(count))
        lengths = [len(one) for one in own]
        assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


def test_every_micro_batch_is_shared_out() -> None:
    for count, micro, size in itertools.product((1, 5, 9, 16), (1, 4, 16), (1, 2, 3)):
        everyone = [positions(count, micro, rank, size) for rank in range(size)]
        assert sorted(np.concatenate(everyone).tolist()) == list(range(count))
        for rank in range(size):
            spans = parts(count, micro, rank, size)
            assert [many for *_, many in spans] == [
                min(micro, count - s) for s in range(0, count, micro)
            ]
            assert all(a // micro == (b - 1) // micro for a, b, _ in spans if b > a)
