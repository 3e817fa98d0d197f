import math
import threading

import numpy as np
import torch

from tasks.runtime.machine_facts import Usage, facts


def test_the_facts_are_those_of_what_computes() -> None:
    found = facts()
    assert found["env.torch"] == torch.__version__
    assert found["env.threads"] == str(torch.get_num_threads())
    assert all(found.values())


def test_a_sample_counts_the_memory_that_is_held_and_leaves_no_thread() -> None:
    before = threading.enumerate()
    usage = Usage()
    first = usage.sample()
    held = np.ones(25_000_000)
    second = usage.sample()
    grown = second["system/process_memory_megabytes"] - first["system/process_memory_megabytes"]
    assert held.nbytes / 1e6 * 0.9 < grown
    assert second["system/process_cpu_cores"] > 0
    assert all(math.isfinite(value) and value >= 0 for value in second.values())
    assert threading.enumerate() == before
