"""Whatever is wrong with a checkpoint ends with a name: rejected, or an evaluation that failed.

Where a fault is harmless, the evaluation gives the numbers of the checkpoint without it.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import torch
from sqlalchemy import Engine, select

from evaluators.register import register_suites
from evaluators.worker import Worker
from ingest.watcher import State, scan
from settings import EvaluationSettings, Trust, Workspace, parse
from store import log
from store.events import (
    CheckpointArrived,
    CheckpointRejected,
    EvaluationCompleted,
    EvaluationFailed,
    Event,
)
from store.schema import PREDICTION
from tests.evaluators.checkpoints import TEMPLATE, make_model, save
from tests.ingest.folders import write_trainer_state
from tests.ingest.harms import (
    BIN,
    INDEX,
    NORM,
    WEIGHTS,
    Harm,
    Runs,
    adapter,
    append,
    beside,
    change,
    cut,
    delete,
    describe,
    fifo,
    fill,
    folder_instead,
    foreign_tokenizer,
    link,
    listen,
    move,
    outside,
    pickled,
    place,
    raw_header,
    several,
    shard,
    tensors,
    twice,
    write,
)

SETTINGS = EvaluationSettings(device="cpu", threads=1, max_new_tokens=2)
ROWS = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(3)]
End = Literal["rejected", "failed", "evaluated"]


class Case(NamedTuple):
    """`words` stand in the reason or the message."""

    name: str
    harm: Harm
    end: End
    words: str = ""
    trust: Trust = Trust()


ESCAPE = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
DEEP = "[" * 100_000
ALLOWED = Trust(allow_pickle=True)

CASES = [
    Case("nothing is wrong", lambda _: None, "evaluated"),
    # The weights' file.
    Case("header cut", cut(WEIGHTS, 100), "rejected", "has 100 bytes and a header of"),
    Case("one byte missing", cut(WEIGHTS, -1), "rejected", "model.safetensors has "),
    Case("empty weights", write(WEIGHTS, ""), "rejected", "model.safetensors has 0 bytes"),
    Case("zeros", write(WEIGHTS, bytes(5000)), "rejected", "begins with zeros"),
    Case("a pointer of git lfs", write(WEIGHTS, "version https://git-lfs"), "rejected", "no"),
    Case("extra bytes", append(WEIGHTS, b"\0"), "rejected", "1 more than its header"),
    Case("huge header", write(WEIGHTS, b"\xff" * 7 + b"\0{}"), "rejected", "is not a safetensors"),
    Case("header that is not JSON", raw_header(b"{nonsense"), "rejected", "header is not JSON"),
    Case("header of NaN", raw_header(b"NaN"), "rejected", "header is not a JSON object"),
    Case("deep header", raw_header(DEEP.encode()), "rejected", "nested too deep"),
    Case("overlap", move((-4, -4)), "rejected", "has a header that does not fit"),
    Case("hole", move((4, 4)), "rejected", "has a header that does not fit"),
    Case("negative offsets", describe(data_offsets=[-8, 120]), "rejected", "which no file can"),
    Case("backward offsets", describe(data_offsets=[128, 0]), "rejected", "32 elements of F32 in"),
    Case("offsets in words", describe(data_offsets=["0", "4"]), "rejected", "where whole numbers"),
    Case("three offsets", describe(data_offsets=[0, 4, 8]), "rejected", "does not fit"),
    Case("no offsets", describe(data_offsets=None), "rejected", "where whole numbers"),
    Case("overflow", describe(shape=[2**63, 2**63]), "rejected", "which no file can hold"),
    Case("huge shape", describe(shape=[2**40, 2**40]), "rejected", "elements of F32 in"),
    Case("negative shape", describe(shape=[-32]), "rejected", "which no file can hold"),
    Case("shape of a fraction", describe(shape=[32.0]), "rejected", "where whole numbers"),
    Case("endless shape", describe(shape=[1] * 10_000), "rejected", "which no file can hold"),
    Case("twice the same name", twice, "rejected", "'model.norm.weight' stands there twice"),
    Case("dtype too wide", describe(dtype="F64"), "rejected", "32 elements of F64 in 128 bytes"),
    Case("dtype unknown", describe(dtype="F2"), "failed", "does not load"),
    Case("dtype of no text", describe(dtype=[1]), "failed", "does not load"),
    Case("whole numbers", describe(dtype="I32"), "rejected", "holds whole numbers (I32)"),
    # What is in the weights.
    Case("NaN", fill(float("nan")), "failed", "not one of its 3 examples could be scored"),
    Case("infinite", fill(float("inf")), "failed", "not one of its 3 examples could be scored"),
    Case("head missing", tensors(lambda t: t.pop("lm_head.weight")), "failed", "lack 1 of"),
    Case("layer missing", tensors(lambda t: t.pop(NORM)), "failed", "lack 1 of"),
    Case("tensor of another shape", describe(shape=[4, 8]), "failed", "does not load"),
    # The index of shards.
    Case("in shards", shard, "evaluated"),
    Case(
        "shard missing",
        several(shard, delete("model-00002-of-00002.safetensors")),
        "rejected",
        "model-00002-of-00002.safetensors is not there",
    ),
    Case("index cut", several(shard, cut(INDEX, -9)), "rejected", f"{INDEX} is not JSON"),
    Case("index of nothing", several(shard, write(INDEX, "{}")), "rejected", "has no weight_map"),
    Case("index of another model", place("h.0.w", "model-00002-of-00002.safetensors"), "rejected"),
    Case("index that climbs", place(NORM, "../a.safetensors"), "rejected", "not in this folder"),
    Case("index to the root", place(NORM, "/etc/passwd"), "rejected", "not in this folder"),
    Case("index upward", place(NORM, ".."), "rejected", ".. is a folder where a file"),
    Case("index with NUL", place(NORM, "a\0b"), "rejected", "not in this folder"),
    Case("index with a number", place(NORM, 7), "rejected", "not in this folder"),
    Case("index of half a letter", place("\ud800", 7), "rejected", "not in this folder"),
    # config.json.
    Case("config cut", cut("config.json", -5), "rejected", "config.json is not JSON"),
    Case("config of a list", write("config.json", "[]"), "rejected", "holds a JSON list"),
    Case("config without a model", write("config.json", "{}"), "rejected", "names neither"),
    Case("deep config", write("config.json", DEEP), "rejected", "config.json is nested too deep"),
    Case("long number", write("config.json", "9" * 9999), "rejected", "config.json is not JSON"),
    Case(
        "config of 200 MB",
        lambda folder: os.truncate(folder / "config.json", 200_000_000),
        "rejected",
        "config.json is larger than 100,000,000 bytes",
    ),
    Case("config not of UTF-8", write("config.json", b"\xff\xfe{}"), "rejected", "is not JSON"),
    Case("unheard architecture", change("config.json", model_type="x"), "failed", "does not load"),
    Case("other architecture", change("config.json", model_type="gpt2"), "failed", "lack "),
    Case("other hidden size", change("config.json", hidden_size=48), "failed", "does not load"),
    Case("layers missing", change("config.json", num_hidden_layers=1), "failed", "hold layers"),
    Case("layers too many", change("config.json", num_hidden_layers=3), "failed", "lack "),
    Case("other vocabulary", change("config.json", vocab_size=99), "failed", "does not load"),
    Case("negative size", change("config.json", hidden_size=-1), "failed", "does not load"),
    Case("size in words", change("config.json", hidden_size="32"), "failed", "does not load"),
    Case("half a letter", change("config.json", architectures=["\ud800"]), "evaluated"),
    Case(
        "code of its own",
        change("config.json", auto_map={"AutoConfig": "code.Config"}),
        "rejected",
        "config.json names code (auto_map)",
    ),
    Case(
        "a kernel of its own",
        change("config.json", attn_implementation="org/attention"),
        "rejected",
        "config.json names code (attn_implementation)",
    ),
    Case(
        "other weights",
        change("config.json", transformers_weights="other.bin"),
        "rejected",
        "names other weights than model.safetensors",
    ),
    # The tokenizer.
    Case("no tokenizer", delete("tokenizer.json"), "rejected", "tokenizer.json is not there"),
    Case("tokenizer cut", cut("tokenizer.json", -9), "rejected", "tokenizer.json is not JSON"),
    Case("empty tokenizer", write("tokenizer.json", ""), "rejected", "tokenizer.json is not JSON"),
    Case("tokenizer of nothing", write("tokenizer.json", "{}"), "failed", "the tokenizer in"),
    Case("other tokenizer", foreign_tokenizer, "failed", "the model knows only 51"),
    Case("tokenizer's list", write("tokenizer_config.json", "[]"), "rejected", "a JSON list"),
    Case("no pad token", change("tokenizer_config.json", pad_token=None), "evaluated"),
    Case(
        "tokenizer's code",
        change("tokenizer_config.json", auto_map={"AutoTokenizer": ["code.T", None]}),
        "rejected",
        "tokenizer_config.json names code (auto_map)",
    ),
    Case(
        "vocabulary from elsewhere",
        change("tokenizer_config.json", tokenizer_file="/etc/passwd", vocab_file="/etc/passwd"),
        "evaluated",
    ),
    # Templates and generation.
    Case("template not closed", write("chat_template.jinja", "{{ a"), "failed", "template refuses"),
    Case(
        "template that raises",
        write("chat_template.jinja", "{{ raise_exception('no') }}"),
        "failed",
        "the chat template refuses it: no",
    ),
    Case("template that breaks out", write("chat_template.jinja", ESCAPE), "failed", "unsafe"),
    Case("empty template", write("chat_template.jinja", ""), "rejected", "template.jinja is empty"),
    Case(
        "template of no UTF-8", write("chat_template.jinja", b"\xff"), "failed", "the tokenizer in"
    ),
    Case(
        "one more template of another name",
        lambda f: write(os.fsdecode(b"additional_chat_templates/\xff.jinja"), TEMPLATE)(f),
        "evaluated",
    ),
    Case("generation cut", cut("generation_config.json", -5), "rejected", "is not JSON"),
    Case("generation's list", write("generation_config.json", "[]"), "failed", "does not load"),
    Case("eos unknown", change("generation_config.json", eos_token_id=10**6), "evaluated"),
    Case("eos in words", change("generation_config.json", eos_token_id="3"), "evaluated"),
    Case("text penalties", change("generation_config.json", repetition_penalty=9.0), "evaluated"),
    # The trainer's word.
    Case("state cut", cut("trainer_state.json", -5), "rejected", "trainer_state.json is not JSON"),
    Case("state's list", write("trainer_state.json", "[]"), "rejected", "holds a JSON list"),
    Case("state too large", change("trainer_state.json", epoch=10**400), "evaluated"),
    # Files that are none.
    Case("link to itself", link(WEIGHTS, WEIGHTS), "rejected", "leads back to itself"),
    Case("config's link", link("config.json", "config.json"), "rejected", "leads back to itself"),
    Case("link to nowhere", link("config.json", "gone"), "rejected", "a link to gone, which is"),
    Case("weights elsewhere", outside(WEIGHTS), "rejected", "outside of its run"),
    Case("tokenizer elsewhere", outside("tokenizer.json"), "rejected", "outside of its run"),
    Case("weights in a FIFO", fifo(WEIGHTS), "rejected", "model.safetensors is a FIFO"),
    Case("config in a FIFO", fifo("config.json"), "rejected", "config.json is a FIFO"),
    Case("template in a FIFO", fifo("chat_template.jinja"), "rejected", "is a FIFO"),
    Case("weights in a socket", listen(WEIGHTS), "rejected", "model.safetensors is a socket"),
    Case("device", link("tokenizer.json", "/dev/zero"), "rejected", "tokenizer.json is a device"),
    Case("folder", folder_instead("tokenizer.json"), "rejected", "tokenizer.json is a folder"),
    # Pickles.
    Case("pickle", pickled(), "rejected", "set allow_pickle = true under [watch]"),
    Case("pickle allowed", pickled(), "evaluated", trust=ALLOWED),
    Case("pickle that runs", pickled(Runs()), "rejected", "it names posix.system", ALLOWED),
    Case(
        "pickle cut",
        several(pickled(), cut(BIN, -1)),
        "rejected",
        "the end of its archive",
        ALLOWED,
    ),
    Case("pickle of text", pickled("hi"), "rejected", "holds more, which is no tensor", ALLOWED),
    # Adapters.
    Case("adapter without base", adapter(), "failed", "the model 'org/base', which is missing"),
    Case("adapter on its base", several(beside("llama"), adapter("../base")), "evaluated"),
    Case(
        "adapter on another base",
        several(beside("gpt2"), adapter("../base")),
        "failed",
        "does not load onto '../base'",
    ),
    Case(
        "adapter of another rank",
        several(beside("llama"), adapter("../base", r=9)),
        "failed",
        "does not load onto '../base'",
    ),
    Case(
        "adapter with modules missing",
        several(beside("llama"), adapter("../base", target_modules=["q_proj", "k_proj"])),
        "failed",
        "of the adapter's tensors",
    ),
    Case(
        "adapter with modules too many",
        several(beside("llama"), adapter("../base", layers_to_transform=[0])),
        "failed",
        "that the model has no place for",
    ),
    Case(
        "adapter of no method", adapter(peft_type=None), "rejected", "does not name peft_type and"
    ),
    Case(
        "adapter of an unheard method",
        several(beside("llama"), adapter("../base", peft_type="X")),
        "failed",
        "does not load onto",
    ),
    Case(
        "adapter with a module to import",
        adapter(megatron_config={"a": 1}, megatron_core="this"),
        "rejected",
        "adapter_config.json names code (megatron_config)",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp("whole") / "checkpoint-10", make_model("llama"))
    (folder / "tokenizer_config.json").chmod(0o644)
    write_trainer_state(folder)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    suite = tmp_path / "sums.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Workspace(tmp_path, parse(f"[[suite]]\nname = 'sums'\npath = '{suite}'", suite))


def play(folder: Path, workspace: Workspace, engine: Engine, trust: Trust) -> list[Event]:
    """The watcher and the worker, with a limit of no seconds; returns what the log holds."""
    state = State()
    for _ in range(2):
        scan(
            folder.parent.parent,
            engine,
            state,
            settle_seconds=0.0,
            limit_seconds=0.0,
            trust=trust,
        )
    suites = register_suites(engine, workspace)
    Worker(
        engine,
        suites,
        SETTINGS,
        threading.Event(),
        lambda: None,
        lambda _task, _recorded, _examples: None,
        trust,
    ).run_pending()
    with engine.connect() as connection:
        return [one.event for one in log.read(connection)]


class Numbers(NamedTuple):
    example: str
    target_logprob: float | None
    generated_logprob: float | None


def numbers(engine: Engine) -> list[Numbers]:
    columns = [PREDICTION.c[name] for name in ("target_logprob", "generated_logprob")]
    with engine.connect() as connection:
        rows = connection.execute(
            select(PREDICTION.c.example_id, *columns).order_by(PREDICTION.c.example_id)
        )
        return [Numbers(*row) for row in rows]


@pytest.fixture(scope="module")
def clean(
    whole: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Numbers]:
    """The numbers of the checkpoint as it was saved."""
    from store.engine import connect

    place = tmp_path_factory.mktemp("clean")
    shutil.copy(empty_database, place / "milepost.db")
    suite = place / "sums.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    workspace = Workspace(place, parse(f"[[suite]]\nname = 'sums'\npath = '{suite}'", suite))
    folder = shutil.copytree(whole, place / "checkpoints" / "run" / "checkpoint-10")
    engine = connect(f"sqlite:///{place / 'milepost.db'}")
    play(folder, workspace, engine, Trust())
    found = numbers(engine)
    engine.dispose()
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_fault_ends_with_its_name(
    case: Case,
    whole: Path,
    clean: list[Numbers],
    workspace: Workspace,
    engine: Engine,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(whole, tmp_path / "checkpoints" / "run" / "checkpoint-10")
    case.harm(folder)
    found = play(folder, workspace, engine, case.trust)
    rejected = [one for one in found if isinstance(one, CheckpointRejected)]
    arrived = [one for one in found if isinstance(one, CheckpointArrived)]
    failed = [one for one in found if isinstance(one, EvaluationFailed)]
    completed = [one for one in found if isinstance(one, EvaluationCompleted)]
    measured = [one for one in numbers(engine) if one[1:] != (None, None)]
    seen = {"rejected": rejected, "failed": failed, "evaluated": completed}
    assert {end for end, events in seen.items() if events} == {case.end}, found
    assert bool(arrived) == (case.end != "rejected")
    match case.end:
        case "rejected":
            assert case.words in rejected[0].reason
            assert measured == []
        case "failed":
            assert case.words in failed[0].message
            assert failed[0].error in ("ModelLoadFault", "NothingScored")
            assert not failed[0].retriable
            assert measured == []
        case "evaluated":
            assert (completed[0].scored, completed[0].failed) == (3, 0)
            assert measured == clean
    assert not Path("it-ran").exists()
