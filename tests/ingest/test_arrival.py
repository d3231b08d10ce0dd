"""A folder is judged by what is in it, and a checkpoint is its content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ingest.arrival import (
    Broken,
    Complete,
    Incomplete,
    NotACheckpoint,
    checkpoint_id_of,
    judge,
)
from ingest.fingerprint import Digests
from store.events import CheckpointArrived
from tests.ingest.folders import CONFIG, make_checkpoint, make_sharded, tensors, write_json


def arrived(folder: Path) -> CheckpointArrived:
    found = judge(folder)
    assert isinstance(found, Complete), found
    return found.arrived(Digests().of)


def size(folder: Path, *names: str) -> int:
    return sum((folder / name).stat().st_size for name in names)


def test_a_whole_checkpoint_is_described_from_its_files(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run-a" / "checkpoint-10", loss=2.5)
    identity = (
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    )
    lines = "".join(
        f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n" for name in identity
    )
    assert arrived(folder) == CheckpointArrived(
        checkpoint_id=hashlib.sha256(lines.encode()).hexdigest()[:32],
        run="run-a",
        step=10,
        path=str(folder),
        bytes=size(folder, *identity),
        dtype="F32",
        architecture="LlamaForCausalLM",
        parameters=14,
        kind="full",
        epoch=0.5,
        train_loss=2.5,
        learning_rate=1e-3,
    )


def test_without_trainer_state_the_trainers_numbers_are_none(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    (folder / "trainer_state.json").unlink()
    (folder / "training_args.bin").unlink()
    event = arrived(folder)
    assert (event.epoch, event.train_loss, event.learning_rate) == (None, None, None)


def test_a_sharded_checkpoint_counts_all_its_shards(tmp_path: Path) -> None:
    event = arrived(make_sharded(tmp_path / "run" / "checkpoint-10"))
    assert (event.dtype, event.parameters, event.kind) == ("F32", 14, "full")


def make_adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    write_json(folder / "adapter_config.json", config)
    save_file(tensors(), folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_is_a_checkpoint_of_its_own_kind(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "run" / "checkpoint-10")
    event = arrived(folder)
    assert (event.kind, event.architecture, event.parameters) == ("adapter", "LORA on org/base", 14)
    assert event.bytes == size(folder, "adapter_config.json", "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    assert judge(folder) == Incomplete("adapter_model.safetensors is not there")


def test_the_step_comes_from_trainer_state_when_the_name_gives_none(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "last")
    assert arrived(folder).step == 10
    write_json(folder / "trainer_state.json", {"epoch": 1.0})
    assert isinstance(judge(folder), NotACheckpoint)
    (folder / "trainer_state.json").unlink()
    assert isinstance(judge(folder), NotACheckpoint)


def test_a_folder_of_another_kind_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "events.tfevents").touch()
    assert isinstance(judge(tmp_path / "runs"), NotACheckpoint)


def test_an_older_trainers_temporary_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "tmp-checkpoint-10")
    assert isinstance(judge(folder), NotACheckpoint)


def shorten(name: str, by: int = 1) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-by])

    return cut


def delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put(name: str, content: str = "") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)

    return write


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (delete("config.json"), "config.json is not there"),
        (delete("model.safetensors"), "model.safetensors is not there"),
        (shorten("model.safetensors"), "model.safetensors has "),
        (shorten("config.json"), "config.json is not JSON"),
        (shorten("tokenizer.json"), "tokenizer.json is not JSON"),
        (put("tokenizer.json", ""), "tokenizer.json is not JSON"),
        (delete("trainer_state.json"), "trainer_state.json, which Trainer writes last"),
        (put("checkpoint-is-incomplete.txt"), "checkpoint-is-incomplete.txt is there"),
        (put(".model.safetensors.Xy12_z"), ".model.safetensors.Xy12_z is a file still in transfer"),
        (put(".~tmp~/model.safetensors"), ".~tmp~ is a file still in transfer"),
        (put(".rsync-partial/model.safetensors"), ".rsync-partial is a file still in transfer"),
        (put(".tmpA1b2C3"), ".tmpA1b2C3 is a file still in transfer"),
        (put("additional_chat_templates/.tool.jinja.abcdef"), ".tool.jinja.abcdef is a file"),
    ],
)
def test_an_incomplete_folder_names_the_file(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    assert isinstance(judge(folder), Complete)
    harm(folder)
    found = judge(folder)
    assert isinstance(found, Incomplete)
    assert found.reason.startswith(words)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (put("config.json", "{}"), "config.json names neither architectures nor model_type"),
        (put("config.json", "[]"), "config.json holds a JSON list"),
        (put("model.safetensors", "version https://git-lfs"), "model.safetensors is not a safe"),
    ],
)
def test_a_broken_folder_names_the_file(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    harm(folder)
    found = judge(folder)
    assert isinstance(found, Broken)
    assert found.reason.startswith(words)


SHARD = "model-00002-of-00002.safetensors"


def place(tensor: str, shard: str) -> Callable[[Path], None]:
    """Makes the index place a tensor elsewhere."""

    def write(folder: Path) -> None:
        file = folder / "model.safetensors.index.json"
        index = json.loads(file.read_text())
        index["weight_map"][tensor] = shard
        write_json(file, index)

    return write


@pytest.mark.parametrize(
    ("harm", "expected", "words"),
    [
        (delete(SHARD), Incomplete, f"{SHARD} is not there"),
        (shorten(SHARD), Incomplete, f"{SHARD} has "),
        (place("extra", SHARD), Incomplete, f"{SHARD} does not hold extra"),
        (place("head", "../a.safetensors"), Broken, "model.safetensors.index.json names the shard"),
        (put("model.safetensors.index.json", "{}"), Broken, "model.safetensors.index.json has no"),
    ],
)
def test_every_shard_of_the_index_must_be_whole(
    tmp_path: Path, harm: Callable[[Path], None], expected: type, words: str
) -> None:
    folder = make_sharded(tmp_path / "run" / "checkpoint-10")
    assert isinstance(judge(folder), Complete)
    harm(folder)
    found = judge(folder)
    assert isinstance(found, Incomplete | Broken)
    assert isinstance(found, expected)
    assert found.reason.startswith(words)


def test_trainers_last_file_is_waited_for_only_as_long_as_one_wishes(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    (folder / "trainer_state.json").unlink()
    assert isinstance(judge(folder), Incomplete)
    assert isinstance(judge(folder, await_trainer=False), Complete)


def test_a_folder_that_is_gone_is_incomplete(tmp_path: Path) -> None:
    found = judge(tmp_path / "run" / "checkpoint-10")
    assert found == Incomplete("checkpoint-10 cannot be read: No such file or directory")


def test_the_same_content_elsewhere_is_the_same_checkpoint(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    copy = shutil.copytree(folder, tmp_path / "other" / "checkpoint-99")
    assert arrived(copy).checkpoint_id == arrived(folder).checkpoint_id


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("optimizer.pt", True),
        ("scheduler.pt", True),
        ("rng_state.pth", True),
        ("training_args.bin", True),
        ("README.md", True),
        ("trainer_state.json", True),
        ("eval_results.json", True),
        ("modeling.py", True),
        ("config.json", False),
        ("generation_config.json", False),
        ("tokenizer.json", False),
        ("tokenizer_config.json", False),
        ("special_tokens_map.json", False),
        ("added_tokens.json", False),
        ("chat_template.jinja", False),
        ("chat_template.json", False),
        ("additional_chat_templates/tool.jinja", False),
        ("vocab.json", False),
        ("vocab.txt", False),
        ("merges.txt", False),
        ("tekken.json", False),
        ("tokenizer.model", False),
        ("spiece.model", False),
        ("sentencepiece.bpe.model", False),
        ("source.spm", False),
        ("qwen.tiktoken", False),
    ],
)
def test_only_what_decides_the_answers_makes_the_identity(
    tmp_path: Path, name: str, same: bool
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    before = arrived(folder).checkpoint_id
    content = {**CONFIG, "something": "else"} if name.endswith(".json") else "something else"
    put(name, json.dumps(content))(folder)
    assert (arrived(folder).checkpoint_id == before) == same


def test_one_changed_byte_of_the_weights_is_another_checkpoint(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    before = arrived(folder).checkpoint_id
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert arrived(folder).checkpoint_id != before


def test_the_order_of_the_files_does_not_matter_but_their_names_do() -> None:
    forth, back = [("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]
    assert checkpoint_id_of(forth) == checkpoint_id_of(back)
    assert checkpoint_id_of(forth) != checkpoint_id_of([("a", "2"), ("b", "1")])


def test_code_that_comes_with_it_is_part_of_what_it_is(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    write_json(folder / "config.json", {**CONFIG, "auto_map": {"AutoModel": "modeling.Model"}})
    put("modeling.py", "one")(folder)
    found = judge(folder)
    assert isinstance(found, Complete)
    assert found.code == "config.json names code (auto_map)"
    before = arrived(folder).checkpoint_id
    put("modeling.py", "two")(folder)
    assert arrived(folder).checkpoint_id != before


def test_a_checkpoint_without_a_tokenizer_waits_for_it_and_an_adapter_does_not(
    tmp_path: Path,
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    delete("tokenizer.json")(folder)
    found = judge(folder)
    assert isinstance(found, Incomplete)
    assert found.reason.startswith("tokenizer.json is not there, nor another tokenizer's")
    put("spiece.model", "pieces")(folder)
    assert isinstance(judge(folder), Complete)
    assert isinstance(judge(make_adapter(tmp_path / "run" / "checkpoint-20")), Complete)


def test_a_model_with_an_adapter_beside_it_is_both(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    alone = arrived(folder)
    write_json(
        folder / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    )
    assert judge(folder) == Incomplete("adapter_model.safetensors is not there")
    save_file(tensors(), folder / "adapter_model.safetensors")
    both = arrived(folder)
    assert (both.kind, both.parameters) == ("full", alone.parameters)
    assert both.checkpoint_id != alone.checkpoint_id


def test_links_within_the_run_and_hard_links_are_files_like_others(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    before = arrived(folder).checkpoint_id
    (folder / "tokenizer.json").rename(tmp_path / "run" / "tokenizer.json")
    (folder / "tokenizer.json").symlink_to("../tokenizer.json")
    (folder / "model.safetensors").rename(tmp_path / "elsewhere")
    os.link(tmp_path / "elsewhere", folder / "model.safetensors")
    assert arrived(folder).checkpoint_id == before


def test_a_checkpoint_that_is_itself_a_link_is_one_like_others(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "disk" / "checkpoint-10")
    (tmp_path / "run").mkdir()
    linked = tmp_path / "run" / "checkpoint-10"
    linked.symlink_to(folder)
    assert arrived(linked).checkpoint_id == arrived(folder).checkpoint_id
    assert arrived(linked).run == "run"


def test_holes_in_a_file_are_zeros_like_others(tmp_path: Path) -> None:
    """Weights of zeros that a copy left out of the disk; the length alone says what is whole."""
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    save_file({"head": np.zeros(100_000, dtype=np.float32)}, folder / "model.safetensors")
    before = arrived(folder)
    size = (folder / "model.safetensors").stat().st_size
    os.truncate(folder / "model.safetensors", size - 400_000)
    os.truncate(folder / "model.safetensors", size)
    assert (folder / "model.safetensors").stat().st_blocks * 512 < size
    assert arrived(folder) == before


def test_a_name_that_is_not_utf8_is_refused_in_words_that_are(tmp_path: Path) -> None:
    folder = make_checkpoint(Path(os.fsdecode(bytes(tmp_path) + b"/r\xffn")) / "checkpoint-10")
    found = judge(folder)
    assert isinstance(found, Broken)
    assert "r\\udcffn/checkpoint-10 is not UTF-8" in found.reason
    found.reason.encode("utf-8")


def test_files_that_vanish_while_they_are_read_leave_it_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    names = os.listdir(folder)
    monkeypatch.setattr("os.listdir", lambda _: [*names, "vocab.json"])
    assert judge(folder) == Incomplete("vocab.json is not there")


def test_what_may_not_be_read_is_incomplete_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", path)

    # Not by its mode: root, who may run the tests, reads everything.
    monkeypatch.setattr("os.listdir", refuse)
    assert judge(folder) == Incomplete("checkpoint-10 cannot be read: Permission denied")


def test_an_empty_file_of_the_identity_is_not_written_yet(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    put("merges.txt", "")(folder)
    assert judge(folder) == Incomplete("merges.txt is empty")


def test_quantized_weights_may_be_whole_numbers(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    save_file({"head.weight": np.zeros((2, 5), dtype=np.uint8)}, folder / "model.safetensors")
    assert judge(folder) == Broken(
        "head.weight holds whole numbers (U8), and config.json names no quantization"
    )
    write_json(folder / "config.json", {**CONFIG, "quantization_config": {"quant_method": "x"}})
    assert arrived(folder).dtype == "U8"
