"""A checkpoint with a manifest is whole exactly when all that it names is there."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import PrinterCallback, Trainer, TrainerControl, TrainerState, TrainingArguments

from data.lessons import lessons
from data.model import make_model
from data.tokenizer import make_tokenizer
from data.trainer import Collator
from errors import Unusable
from ingest import manifest, trainer_callback
from ingest.arrival import Broken, Complete, Incomplete, judge
from ingest.fingerprint import Digests
from ingest.trainer_callback import MilepostManifest, write_manifest
from tests.ingest.folders import make_checkpoint, write_json


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder after four real steps, saved every two."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("run")
    tokenizer = make_tokenizer()
    trainer = Trainer(
        model=make_model(tokenizer),
        args=TrainingArguments(
            output_dir=str(out),
            max_steps=4,
            per_device_train_batch_size=2,
            remove_unused_columns=False,
            save_steps=2,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=lessons(1, 4, 2),
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        callbacks=[MilepostManifest()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return out


def test_trainer_ends_each_checkpoint_with_its_manifest(trained: Path) -> None:
    assert sorted(one.name for one in trained.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    for folder in trained.iterdir():
        listed = json.loads((folder / "milepost-manifest.json").read_text())["files"]
        assert set(listed) == {
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "trainer_state.json",
        }
        for name, entry in listed.items():
            content = (folder / name).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            assert entry == {"size": len(content), "sha256": digest}
        names = [one.name for one in folder.iterdir()]
        assert not [name for name in names if name.startswith(".")]
        newest = max(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        assert newest.name == "milepost-manifest.json"


def test_the_manifest_names_all_that_makes_the_identity(trained: Path) -> None:
    found = judge(trained / "checkpoint-4")
    assert isinstance(found, Complete)
    assert set(found.files) | {"trainer_state.json"} == set(found.manifest)
    assert found.arrived(Digests().of).step == 4


@pytest.mark.parametrize("name", ["chat_template.jinja", "trainer_state.json", "model.safetensors"])
def test_a_checkpoint_without_a_file_that_it_names_is_not_whole(
    trained: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(trained / "checkpoint-4", tmp_path / "run" / "checkpoint-4")
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    # Not even when Trainer's last file is no longer waited for.
    assert judge(folder, await_trainer=False) == Incomplete(
        f"{name}, which milepost-manifest.json names, is not there"
    )
    for other in (content[:-1], content + b" "):
        (folder / name).write_bytes(other)
        assert isinstance(judge(folder), Incomplete)
    (folder / name).write_bytes(content)
    assert isinstance(judge(folder), Complete)


def test_what_does_not_have_the_content_that_it_names_is_refused_when_it_is_read(
    tmp_path: Path,
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    write_manifest(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    found = judge(folder)
    assert isinstance(found, Complete)
    with pytest.raises(Unusable, match=r"model\.safetensors does not hold what"):
        found.arrived(Digests().of)


def test_training_goes_on_when_the_checkpoint_is_elsewhere_and_only_one_process_writes(
    tmp_path: Path,
) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint-10")
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    state, control = TrainerState(global_step=10), TrainerControl()
    state.is_world_process_zero = False
    MilepostManifest().on_save(args, state, control)
    assert not (folder / "milepost-manifest.json").exists()
    state.is_world_process_zero = True
    MilepostManifest().on_save(args, state, control)
    assert (folder / "milepost-manifest.json").exists()
    state.global_step = 20
    MilepostManifest().on_save(args, state, control)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "milepost-manifest.json holds a JSON list"),
        ({"files": []}, "milepost-manifest.json names no files"),
        ({"files": {"config.json": 5}}, "milepost-manifest.json gives 'config.json' no size"),
        ({"files": {"a": {"size": 1, "sha256": "00"}}}, "milepost-manifest.json gives 'a' no size"),
        ({"files": {"../a": {"size": 1, "sha256": None}}}, "milepost-manifest.json names '../a'"),
        ({"files": {"/a": {"size": 1, "sha256": None}}}, "milepost-manifest.json names '/a'"),
    ],
)
def test_a_manifest_that_is_none_is_refused_by_name(
    tmp_path: Path, content: object, words: str
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    write_json(folder / "milepost-manifest.json", content)
    found = judge(folder)
    assert isinstance(found, Broken)
    assert found.reason.startswith(words)


def test_the_callback_stands_on_its_own() -> None:
    assert trainer_callback.FILE_NAME == manifest.FILE_NAME
    tree = ast.parse(Path(trainer_callback.__file__).read_text(encoding="utf-8"))
    modules = {
        module.split(".")[0]
        for node in ast.walk(tree)
        for module in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    ours = {file.stem for file in Path(__file__).parents[2].iterdir()}
    assert "transformers" in modules
    assert not modules & ours
