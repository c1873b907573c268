"""A training cut into pieces, shared, lowered in precision, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from firstedge.models.checkpoint import Checkpoint
from firstedge.models.fit import FitOptions, Fitted, Watch, fit
from tests.conftest import ROOT
from tests.models.lessons import LARGE, LARGE_OPTIONS, OPTIONS, fitted, net_and_lesson

SCRIPT = ["-m", "tests.models.lessons"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def whole() -> Fitted:
    return fitted()


def assert_same(found: Fitted | Path, expected: Fitted | Path, tolerance: float = 0.0) -> None:
    one, other = (
        load_file(x) if isinstance(x, Path) else x.net.state_dict() for x in (found, expected)
    )
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=tolerance, msg=name)


def run(out: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, *SCRIPT, str(out), *more],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("sampled", [False, True])
def test_a_batch_in_pieces_moves_the_weights_as_the_whole_does(sampled: bool) -> None:
    options = replace(OPTIONS, full_softmax=0 if sampled else 100, sampled_items=20)
    one, pieces = fitted(options), fitted(replace(options, pieces=7))
    assert_same(pieces, one, tolerance=2e-4)
    np.testing.assert_allclose(pieces.validation, one.validation, atol=2e-3)


def test_two_processes_train_as_one_does(tmp_path: Path, whole: Fitted) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run(tmp_path / "two", launcher=torchrun)
    assert_same(tmp_path / "two", whole, tolerance=2e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_reaches_what_full_precision_does(precision: str, whole: Fitted) -> None:
    half = fitted(replace(OPTIONS, precision=precision))
    biases = (half.net.bias, whole.net.bias)
    assert not torch.equal(*biases)
    assert_same(half, whole, tolerance=2e-3)
    np.testing.assert_allclose(half.validation, whole.validation, atol=0.01)


class _Killed(BaseException):
    pass


def _interrupted(file: Path, at: int, options: FitOptions) -> None:
    """Train with a checkpoint every step, and break off after step ``at``."""

    def report(step: int, loss: float, figure: float | None) -> None:
        if step == at and figure is None:
            raise _Killed

    with pytest.raises(_Killed):
        fitted(options, Watch(Checkpoint(file, "key", 0.0), report))


# Within an epoch, on its last step, and on the first of the next.
@pytest.mark.parametrize("at", [3, 8, 9, 11])
def test_a_training_goes_on_where_it_was_broken_off(tmp_path: Path, whole: Fitted, at: int) -> None:
    file = tmp_path / "training.safetensors"
    _interrupted(file, at, OPTIONS)
    assert file.exists()
    resumed = fitted(OPTIONS, Watch(Checkpoint(file, "key", 1e9)))
    assert_same(resumed, whole)
    assert resumed.validation == whole.validation
    assert not file.exists()


def test_a_scaled_loss_goes_on_where_it_was(tmp_path: Path) -> None:
    options = replace(OPTIONS, precision="float16", epochs=2)
    file = tmp_path / "training.safetensors"
    _interrupted(file, 5, options)
    assert_same(fitted(options, Watch(Checkpoint(file, "key", 1e9))), fitted(options))


def test_a_training_of_something_else_is_not_gone_on_with(
    tmp_path: Path, whole: Fitted, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "training.safetensors"
    _interrupted(file, 3, OPTIONS)
    assert_same(fitted(OPTIONS, Watch(Checkpoint(file, "other", 1e9))), whole)
    assert "other data or options" in caplog.text
    file.write_bytes(b"\x00" * 100)
    assert_same(fitted(OPTIONS, Watch(Checkpoint(file, "key", 1e9))), whole)
    assert "damaged" in caplog.text


def test_a_process_that_is_killed_is_gone_on_with(tmp_path: Path, whole: Fitted) -> None:
    out, file = tmp_path / "weights", tmp_path / "training.safetensors"
    command = [sys.executable, *SCRIPT, str(out), "--checkpoint", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT)
    while not file.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file.exists()
    assert not out.exists()
    run(out, "--checkpoint", str(file))
    assert_same(out, whole)


def test_too_little_memory_is_answered_by_smaller_pieces(tmp_path: Path) -> None:
    told = run(tmp_path / "little", "--megabytes", "60").stderr
    assert "out of memory with 1,000 users at a time: going on with 500" in told
    plenty = fit(*net_and_lesson(*LARGE), LARGE_OPTIONS)
    assert_same(tmp_path / "little", plenty, tolerance=2e-4)


def test_small_steps_are_computed_by_one_thread() -> None:
    before = torch.get_num_threads()
    during = []
    torch.set_num_threads(2)
    try:
        watch = Watch(report=lambda *_: during.append(torch.get_num_threads()))
        fitted(replace(OPTIONS, epochs=1), watch)
        assert set(during) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
