"""Errors of memory and device: each text that torch and its libraries say has its cause, and the hint follows from what was allocated."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lines import LINE, created, ended, start

from workbench.problems import Problem
from workbench.runs.run import Run
from workbench.training.failures import named

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TORCH_SAYS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.00 GiB is free. "
    "Including non-PyTorch memory, this process has 5.00 GiB memory in use. Of the allocated memory 4.50 GiB is allocated by PyTorch"
)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return created(tmp_path, train="{epochs: 5, batch_size: 64}")


def of(raising: Callable[[], Any], run: Run) -> Problem:
    with pytest.raises(BaseException) as caught:
        raising()
    return named(caught.value, run)


def thrown(error: BaseException) -> Callable[[], None]:
    def train_step() -> None:
        raise error

    return train_step


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OutOfMemoryError(TORCH_SAYS), "device-memory"),
        (OutOfMemoryError("Allocation on device 0 would exceed allowed memory. (out of memory)"), "device-memory"),
        (AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), "device-memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "device-memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "device-memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), "device-memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), "memory"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"), "device-memory"),
        (RuntimeError("CUDA error: CUSPARSE_STATUS_ALLOC_FAILED when calling `cusparseCreate`"), "device-memory"),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), "device-memory"),
        (RuntimeError("CUDA driver error: out of memory"), "device-memory"),
        (RuntimeError("HIP out of memory. Tried to allocate 1.00 GiB"), "device-memory"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (RuntimeError("unable to mmap 8 bytes from file: Cannot allocate memory (12)"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible … out of shared memory."), "memory"),
        (AcceleratorError("CUDA error: device-side assert triggered"), "device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), "device"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device"),
        (RuntimeError("CUDA driver error: unknown error"), "device"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "disk-full"),
        (ImportError("No module named x"), "import"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "exception"),
        (ValueError("the column 'CUDA out of memory' has no number"), "exception"),
        (KeyError("CUDA error"), "exception"),
        (Problem("x", cause="data"), "data"),
    ],
)
def test_what_is_said_has_its_cause(run: Run, error: BaseException, cause: str) -> None:
    problem = of(thrown(error), run)
    assert problem.cause == cause
    assert "\n" not in problem.message and "{" not in problem.hint
    assert "memory is full in a training step" in problem.message or cause != "device-memory"


@pytest.mark.parametrize("status", ["CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`", "CUDNN_STATUS_INTERNAL_ERROR"])
def test_a_status_that_may_mean_a_full_device_says_both(run: Run, status: str) -> None:
    problem = of(thrown(RuntimeError(f"CUDA error: {status}")), run)
    assert problem.cause == "device" and "may be full" in problem.hint and "doctor" in problem.hint


def within(function: str, file: str = "project.py") -> Callable[[], None]:
    """A device's full memory in a function of that name and file."""
    space: dict[str, Any] = {"OutOfMemoryError": OutOfMemoryError, "text": TORCH_SAYS}
    exec(compile(f"def {function}():\n    raise OutOfMemoryError(text)\n", file, "exec"), space)
    return space[function]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "words", "advice"),
    [
        ("train_step", "in a training step", "Batches of 32 would likely fit: --set train.batch_size=32."),
        ("build_model", "while the model was built", "a smaller model"),
        ("load_state", "while the model was built", "a smaller model"),
        ("build_data", "while the data was read", "less data"),
        ("evaluate", "in an evaluation", "batch size of its own"),
        ("sample", "in a sample", "ask for less"),
        ("predict", "in a sample", "ask for less"),
        ("save", "while a checkpoint", "a smaller model"),
        ("anything", "memory is full (", "Use smaller batches (train.batch_size), a smaller model, less data"),
    ],
)
def test_the_hint_follows_from_what_was_allocated(run: Run, function: str, words: str, advice: str) -> None:
    problem = of(within(function), run)
    assert words in problem.message and advice in problem.hint
    assert ("train.batch_size=" in problem.hint) == (function == "train_step")


def test_the_outermost_function_counts(run: Run) -> None:
    def build_model() -> None:
        within("train_step")()

    assert "while the model was built" in of(build_model, run).message


def test_an_optimizers_state_is_no_matter_of_the_batch(run: Run) -> None:
    def train_step() -> None:
        within("step", "/lib/python3/site-packages/torch/optim/adam.py")()

    problem = of(train_step, run)
    assert "in the optimizer" in problem.message and "train.batch_size=" not in problem.hint


def test_memory_of_the_host_is_no_device_and_its_half_is_a_guess(run: Run) -> None:
    problem = of(thrown(MemoryError("Unable to allocate 9 TiB")), run)
    assert problem.hint == "Try batches of 32 (--set train.batch_size=32), or a machine with more memory."
    run = created(run.path.parent.parent.parent / "one", train="{epochs: 1, batch_size: 1}")
    assert "one example already" in of(thrown(MemoryError()), run).hint


def test_an_array_that_numpy_cannot_make_is_out_of_memory(run: Run) -> None:
    def build_data() -> None:
        np.zeros(1 << 50)

    assert of(build_data, run).cause == "memory"


def test_a_tensor_that_torch_cannot_make_is_out_of_memory(run: Run) -> None:
    import torch

    def build_model() -> None:
        torch.empty(1 << 55)

    problem = of(build_model, run)
    assert problem.cause == "memory" and "while the model was built" in problem.message


@pytest.mark.parametrize(
    ("method", "words"),
    [("build_model", "while the model was built"), ("build_data", "while the data was read"), ("evaluate", "in an evaluation")],
)
def test_a_real_run_says_what_did_not_fit(tmp_path: Path, method: str, words: str) -> None:
    line = next(line for line in LINE.splitlines() if f"def {method}(" in line)
    run = start(tmp_path, source=LINE.replace(line, f"{line}\n        np.zeros(1 << 50)"))
    state = ended(run)
    assert (state.state, state.cause) == ("failed", "memory")
    assert words in state.message and "train.batch_size=" not in state.hint and state.words == "failed: out of memory"


def memory_cgroup() -> Path | None:
    """A cgroup with 300 MB that a test may put a process in; None where this machine lends none."""
    for base, limit in ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max")):
        folder = base / f"dlwb-test-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(300 << 20))
            return folder
        except OSError:
            if folder.is_dir():
                folder.rmdir()
    return None


EATS = LINE.replace("self.steps_done = 0", "self.steps_done = 0\n        happen('eat')", 1)


@pytest.mark.parametrize(
    ("source", "words", "advice"),
    [
        (LINE, "Out of memory: the kernel killed it.", "train.batch_size"),
        (EATS, "Out of memory before its first step (reading its data): the kernel killed it.", "The batch size does not matter"),
    ],
)
def test_the_kernels_out_of_memory_has_a_name(tmp_path: Path, source: str, words: str, advice: str) -> None:
    folder = memory_cgroup()
    if folder is None:
        pytest.skip("needs the right to make a memory cgroup")
    try:
        run = created(tmp_path, "{event: eat}", source=source)
        join = "import os,sys;open(sys.argv[1]+'/cgroup.procs','w').write(str(os.getpid()))"
        script = f"{join};from workbench.launch.start import launch;from workbench.runs.run import find_run;launch(find_run('last'))"
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
        state = ended(run)
        assert (state.state, state.cause) == ("failed", "memory")
        assert state.message == words and advice in state.hint
    finally:
        time.sleep(0.2)
        folder.rmdir()
