"""Checkpoints that the evaluators' tests share, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.evaluators.checkpoints import make_model, save

pytest.register_assert_rewrite("tests.evaluators.checks")

# <|end|> and the letter "q": texts then end early now and then.
EOS = (3, 23)

Checkpoint = Callable[[str], Path]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The folder of a checkpoint of one kind of model."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def made(kind: str) -> Path:
        if not (folder / kind).exists():
            save(folder / kind, make_model(kind), eos=EOS)
        return folder / kind

    return made
