"""What is made once in a process, when several threads ask for it at the same time."""

import subprocess
import sys
import threading
import time

import pytest

from symflux.once import once


def test_threads_that_ask_at_once_get_the_same():
    made = []

    @once
    def slow():
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    found = []
    threads = [threading.Thread(target=lambda: found.append(slow())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 4


def test_an_exception_is_not_kept():
    answers = [ValueError("no"), 3]

    @once
    def fails_first():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ValueError, match="no"):
        fails_first()
    assert fails_first() == fails_first() == 3


PROGRAM = """
import sys, threading
import numpy as np, symflux as sf
from symflux.codegen.llvm import interrupts, memory, pool
sys.setswitchinterval(1e-6)
names = {}
for module in (interrupts, memory, pool):
    def noted(*args, usual=module.service_code, name=module.__name__):
        names[name] = names.get(name, 0) + 1
        return usual(*args)
    module.service_code = noted
start, right = threading.Barrier(4), []

def work(k):
    f = sf.compile(lambda x: np.sum(np.exp(x @ x) * k))
    x = np.full((200, 200), 0.001)
    start.wait()
    right.append(np.isclose(f(x), np.sum(np.exp(x @ x) * k)))

threads = [threading.Thread(target=work, args=(1.0 + n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(all(right), len(right), sorted(set(names.values())))
"""


def test_first_compilations_in_several_threads_load_each_service_once():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "True 4 [1]", run.stderr
