"""Short real runs of the real Trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.lessons import lessons
from data.model import make_model
from data.puzzles import FOLDER, Puzzle
from data.schedule import Schedule
from data.tokenizer import make_tokenizer
from data.trainer import IGNORED, LEARNING_RATE, SPIKE_FACTOR, SPIKE_STEPS, Collator, main, train
from errors import UsageError

FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "optimizer.pt",
    "rng_state.pth",
    "scheduler.pt",
    "tokenizer.json",
    "tokenizer_config.json",
    "trainer_state.json",
    "training_args.bin",
}


class Run(NamedTuple):
    folder: Path
    lines: list[str]

    def json(self, step: int, name: str) -> Any:
        return json.loads((self.folder / f"checkpoint-{step}" / name).read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    lines: list[str] = []
    train(folder, seed=7, steps=20, saves=10, batch=4, report=lines.append)
    return Run(folder, lines)


def test_each_save_is_a_whole_trainer_checkpoint(run: Run) -> None:
    found = sorted(path.name for path in run.folder.iterdir())
    assert found == sorted(f"checkpoint-{step}" for step in range(2, 21, 2))
    for folder in run.folder.iterdir():
        assert {path.name for path in folder.iterdir()} == FILES


def test_each_save_is_reported_and_the_damaged_one_said_to_be(run: Run) -> None:
    assert len(run.lines) == 10
    assert [line for line in run.lines if "on purpose" in line] == [run.lines[6]]
    assert "checkpoint-14 saved" in run.lines[6]


def test_the_trainer_state_holds_what_really_happened(run: Run) -> None:
    state = run.json(20, "trainer_state.json")
    schedule = Schedule(20, 14, SPIKE_STEPS, SPIKE_FACTOR)
    rates = [entry["learning_rate"] for entry in state["log_history"]]
    assert rates == pytest.approx([schedule.factor(done) * LEARNING_RATE for done in range(20)])
    assert max(rates) == rates[13] == SPIKE_FACTOR * LEARNING_RATE
    assert all(entry["loss"] > 0 for entry in state["log_history"])
    assert (state["global_step"], state["epoch"]) == (20, 1.0)


def test_a_checkpoint_loads_and_answers(run: Run) -> None:
    folder = run.folder / "checkpoint-20"
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "llama"
    assert sum(one.numel() for one in model.parameters()) == pytest.approx(650_000, rel=0.02)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    messages = [{"role": "user", "content": "copy ab"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    written = model.generate(**prompt, max_new_tokens=5)[0, prompt["input_ids"].shape[1] :]
    assert 1 <= len(written) <= 5


def test_the_steps_change_the_weights(run: Run) -> None:
    def weights(step: int) -> bytes:
        return (run.folder / f"checkpoint-{step}" / "model.safetensors").read_bytes()

    assert weights(2) != weights(4)


def test_a_seed_gives_the_same_weights_again(tmp_path: Path) -> None:
    saved = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        train(tmp_path / name, seed=seed, steps=2, saves=1, batch=2, report=lambda _: None)
        saved[name] = (tmp_path / name / "checkpoint-2" / "model.safetensors").read_bytes()
    assert saved["first"] == saved["again"]
    assert saved["first"] != saved["other"]


def test_training_on_a_few_puzzles_lowers_their_loss() -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    batch = Collator(tokenizer)(lessons(1, 1, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(15):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_labels_are_the_answer_and_its_end_and_nothing_else() -> None:
    tokenizer: Any = make_tokenizer()
    puzzles = [
        Puzzle("easy", "copy", "copy abc", "abc"),
        Puzzle("easy", "parity", "parity 30", "even"),
    ]
    batch = Collator(tokenizer)(puzzles)
    kept = [row[row != IGNORED].tolist() for row in batch["labels"]]
    assert [tokenizer.decode(row) for row in kept] == ["abc<|end|>", "even<|end|>"]
    assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
    answered = batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][answered], batch["input_ids"][answered])


def test_saves_that_do_not_divide_the_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="7 steps cannot hold 2 evenly spaced saves"):
        train(tmp_path, steps=7, saves=2)


def test_a_folder_that_holds_checkpoints_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="holds checkpoints already"):
        train(run.folder, steps=10, saves=10)


def test_the_command_prints_its_lines_and_not_one_warning(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "data.trainer",
            "--out",
            str(tmp_path),
            "--steps",
            "10",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parent,
    )
    assert ran.stderr == ""
    assert len(ran.stdout.splitlines()) == 10
    assert all(line.startswith("step ") for line in ran.stdout.splitlines())


def test_the_command_names_what_is_wrong_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path), "--steps", "11"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "data.trainer: 11 steps cannot hold 10 evenly spaced saves\n"
