"""Every page on a made-up history: what it says, what it refuses to say, and its empty states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from settings import load_workspace
from store import log
from store.engine import connect, reading
from store.events import SyncFailed
from store.liveness import Pulse
from store.records import Example, example_id_of
from tests.app.conftest import Show
from tests.app.story import (
    MARKUP,
    REASON,
    REJECTION,
    SUITES,
    N,
    Skill,
    Story,
    answers,
    derive,
    make_workspace,
    register,
)
from tests.logs import Seen, arrive, evaluate, fail, register_suite, start
from tests.views.deriving import found, pinned
from views.pages.contents import SECTIONS

TITLES = {page.path: page.title for pages in SECTIONS.values() for page in pages}
PATHS = list(TITLES)


def said(app: AppTest) -> str:
    """All the words on the page, Markdown's escapes taken out."""
    elements = [*app.title, *app.markdown, *app.caption, *app.text, *app.code]
    return re.sub(r"\\(.)", r"\1", "\n".join(one.value for one in elements))


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_its_title_a_chart_and_a_table(show: Show, told: Story, path: str) -> None:
    app = show(told.workspace, path)
    assert [one.value for one in app.title] == [TITLES[path]]
    assert len(app.get("vega_lite_chart")) >= 1
    if path != "overview":
        assert len(app.dataframe[0].value) >= 1


@pytest.mark.parametrize("path", PATHS)
def test_no_page_shows_a_number_for_what_was_not_measured(
    show: Show, told: Story, path: str
) -> None:
    app = show(told.workspace, path, run="second", step="400")
    words = said(app)
    assert not re.search(r"\b(nan|inf|None|NaT)\b", words)


def test_the_overview_says_what_changed_and_what_to_keep(show: Show, told: Story) -> None:
    words = said(show(told.workspace))
    assert "Step 640 is worse than 560 on easy: loss +" in words
    assert "accuracy 88 % → 40 %. Keep step 560." in words
    assert "/checkpoints/second/checkpoint-560" in words
    assert f"milepost show regression --run second --workspace {told.workspace}" in words


def test_the_overview_shows_how_far_the_evaluation_under_way_is(show: Show, told: Story) -> None:
    app = show(told.workspace)
    (bar,) = app.get("progress")
    assert bar.proto.value == 33
    assert bar.proto.text.startswith("**second step 720**: 40 of 120 examples (33 %)")
    assert "No evaluator is running: the counts stand until one takes over." in said(app)


def test_the_newest_run_is_shown_unless_the_address_names_another(show: Show, told: Story) -> None:
    assert "Step 640" in said(show(told.workspace))
    assert "Step 300 is the best so far" in said(show(told.workspace, run="first"))


def test_a_run_that_does_not_exist_falls_back_to_the_newest(show: Show, told: Story) -> None:
    assert "Step 640" in said(show(told.workspace, run="third"))


def test_the_name_of_the_failure_and_its_reason_stand_on_the_page(show: Show, told: Story) -> None:
    for path in ("results", "alerts"):
        assert f"NothingScored: {REASON}" in said(show(told.workspace, path))


def test_a_failed_checkpoint_has_no_numbers_in_its_results(show: Show, told: Story) -> None:
    (table,) = [one.value for one in show(told.workspace, "results").dataframe]
    failed = table[table["step"] == 400]
    assert len(failed) == len(SUITES)
    assert failed["reason"].tolist() == [f"NothingScored: {REASON}"] * len(SUITES)
    assert failed[["loss", "accuracy"]].isna().to_numpy().all()


def test_a_failed_newest_checkpoint_is_said_to_have_failed(show: Show, tmp_path: Path) -> None:
    engine = make_workspace(tmp_path)
    examples = register(engine)
    evaluate(engine, arrive(engine, 10), SUITES, answers(examples, Skill(9, 5, 1)))
    broken = arrive(engine, 20)
    fail(engine, start(engine, broken, SUITES, examples=120), broken, SUITES, message=REASON)
    derive(tmp_path, engine)
    engine.dispose()
    words = said(show(tmp_path))
    assert "The evaluation of step 20 FAILED, so nothing is known about it. Keep step 10" in words
    assert f"NothingScored: {REASON}" in words


def test_a_checkpoint_evaluated_twice_says_which_numbers_these_are(
    show: Show, tmp_path: Path
) -> None:
    engine = make_workspace(tmp_path)
    examples = register(engine)
    checkpoint = arrive(engine, 10)
    evaluate(engine, checkpoint, SUITES, answers(examples, Skill(9, 5, 1)))
    derive(tmp_path, engine)
    assert "the numbers are of the newest" not in said(show(tmp_path, "checkpoints"))
    evaluate(engine, checkpoint, SUITES, answers(examples, Skill(9, 5, 2)), settings={"again": 1})
    log.append(engine, pinned("run", checkpoint, 10))
    log.append(engine, found(checkpoint, "/kept/checkpoint-10"))
    derive(tmp_path, engine)
    engine.dispose()
    words = said(show(tmp_path, "checkpoints"))
    assert "2; the numbers are of the newest" in words
    assert "the run's baseline, never pruned" in words
    assert "/checkpoints/run/checkpoint-10" in words
    assert "/kept/checkpoint-10" in words


@pytest.mark.parametrize("path", ["calibration", "corrections", "checkpoints"])
def test_a_page_about_a_failed_step_says_that_it_failed(show: Show, told: Story, path: str) -> None:
    words = said(show(told.workspace, path, step="400"))
    assert "FAILED" in words
    assert f"NothingScored: {REASON}" in words


def test_a_rejected_folder_is_in_the_table_of_checkpoints(show: Show, told: Story) -> None:
    table = show(told.workspace, "checkpoints").dataframe[-1].value
    rejected = table[table["step"] == 600]
    assert rejected["reason"].tolist() == [REJECTION]
    assert rejected["scored"].isna().all()


def test_what_a_checkpoint_wrote_is_shown_as_plain_text(show: Show, told: Story) -> None:
    app = show(told.workspace, "corrections")
    assert MARKUP in [one.value for one in app.text]
    assert all(MARKUP not in one.value for one in app.markdown)


def test_shares_are_per_cent_and_digests_are_left_out(show: Show, told: Story) -> None:
    (table,) = [one.value for one in show(told.workspace, "results").dataframe]
    assert table.loc[(table["step"] == 560) & (table["suite"] == "easy"), "accuracy"].item() == 87.5
    assert not {"checkpoint_id", "evaluation_id"} & set(table.columns)


def test_the_log_is_newest_first_and_filtered_by_type(show: Show, told: Story) -> None:
    everything = show(told.workspace, "log").dataframe[0].value
    assert everything["position"].is_monotonic_decreasing
    assert everything["type"].iloc[0] == "PredictionsRecorded"
    app = show(told.workspace, "log")
    app.multiselect(key="types").select("EvaluationFailed").run()
    (row,) = app.dataframe[0].value.to_dict("records")
    assert row["type"] == "EvaluationFailed"
    assert REASON in row["payload"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_of_an_empty_workspace_says_what_to_run(
    show: Show, tmp_path: Path, path: str
) -> None:
    make_workspace(tmp_path).dispose()
    words = said(show(tmp_path, path))
    if path == "alerts":
        assert "Nothing needs a look." in words
    else:
        assert f"milepost up --workspace {tmp_path}" in words


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("alerts", "log")])
def test_every_page_says_how_to_evaluate_what_has_arrived(
    show: Show, tmp_path: Path, path: str
) -> None:
    engine = make_workspace(tmp_path)
    arrive(engine, 10)
    derive(tmp_path, engine)
    engine.dispose()
    app = show(tmp_path, path)
    if path == "checkpoints":
        assert app.dataframe[0].value["status"].tolist() == [["arrived"]]
    else:
        assert f"milepost evaluate --workspace {tmp_path}" in said(app)


def test_one_example_is_too_few_to_tell(show: Show, tmp_path: Path) -> None:
    engine = make_workspace(tmp_path)
    examples = {suite: those[:1] for suite, those in register(engine).items()}
    for step in (10, 20):
        evaluate(engine, arrive(engine, step), SUITES, answers(examples, Skill(1, 0, 0)))
    derive(tmp_path, engine)
    engine.dispose()
    assert "Whether step 20 is worse than 10 cannot be told." in said(show(tmp_path))
    assert "too few graded answers to tell" in said(show(tmp_path, "calibration"))


def test_a_view_that_stands_still_is_named_with_its_error(show: Show, story: Story) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE projection SET error = 'ValueError: on purpose' WHERE name = 'ranking'")
        )
    engine.dispose()
    words = said(show(story.workspace))
    assert "The view ranking failed and shows what it last knew." in words
    assert "ValueError: on purpose" in words
    assert f"milepost replay ranking --workspace {story.workspace}" in words


def test_a_view_that_the_database_cannot_give_is_said_to_be_unreadable(
    show: Show, story: Story
) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW rankings"))
    engine.dispose()
    words = said(show(story.workspace, "ranking"))
    assert "no such table: rankings" in words
    assert f"milepost status --workspace {story.workspace}" in words


def test_the_sidebar_says_what_runs(show: Show, story: Story) -> None:
    assert "Nothing is running" in said(show(story.workspace))
    engine = connect(load_workspace(story.workspace).database_url)
    with Pulse(engine, "evaluate") as pulse:
        pulse.say("evaluating second step 720: 40 of 120 examples")
        words = said(show(story.workspace))
    engine.dispose()
    assert "**evaluate** evaluating second step 720: 40 of 120 examples" in words
    assert "No evaluator is running" not in words


def test_views_that_lack_events_are_counted_in_the_sidebar(show: Show, story: Story) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    with reading(engine) as connection:
        held = log.head(connection)
    arrive(engine, 800, run="second")
    engine.dispose()
    words = said(show(story.workspace))
    # Of all projections, lifecycle and alerts alone listen to an arrival.
    assert "2 views behind" in words
    assert re.search(rf"As of event \d+ of {held + 1}\b", words)


def test_a_sync_leaves_no_view_behind_but_the_alerts(show: Show, story: Story) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    log.append(engine, failed_sync())
    engine.dispose()
    assert "1 view behind" in said(show(story.workspace))


def forget(story: Story, projection: str) -> int:
    """Has `projection` derived anew by whoever comes next; returns the log's head."""
    engine = connect(load_workspace(story.workspace).database_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM projection WHERE name = :name"), {"name": projection})
        head = log.head(connection)
    engine.dispose()
    return head


@pytest.mark.parametrize("path", ["overview", "results", "calibration", "hard-examples", "tests"])
def test_no_page_shows_numbers_that_are_being_derived_anew(
    show: Show, story: Story, path: str
) -> None:
    forget(story, "results")
    app = show(story.workspace, path)
    words = said(app)
    assert re.search(r"The views are being derived anew: 0 of \d+ events\.", words)
    assert f"milepost status --workspace {story.workspace}" in words
    assert len(app.dataframe) == 0
    assert len(app.metric) == 0


def test_a_page_goes_on_while_what_it_does_not_read_is_derived_anew(
    show: Show, story: Story
) -> None:
    forget(story, "calibration")
    assert "derived anew" not in said(show(story.workspace, "results"))
    assert "derived anew" not in said(show(story.workspace, "log"))
    assert "derived anew" in said(show(story.workspace, "calibration"))


def test_what_waits_for_a_view_that_stands_still_is_named(show: Show, story: Story) -> None:
    engine = connect(load_workspace(story.workspace).database_url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE projection SET error = 'ValueError: x' WHERE name = 'test_results'")
        )
    engine.dispose()
    assert "shows what it last knew. Alerts waits for it." in said(show(story.workspace))


def test_a_long_table_is_paged_and_says_how_many_rows_there_are(
    show: Show, told: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = show(told.workspace, "hard-examples").dataframe[0].value
    monkeypatch.setattr("views.pages.table.PAGE", 10)
    monkeypatch.setattr("views.pages.hard_examples.PAGE", 10)
    last = -(-len(whole) // 10)
    first_page = show(told.workspace, "hard-examples")
    last_page = show(told.workspace, "hard-examples", rows=str(last))
    assert f"Rows 1 to 10 of {len(whole)}." in said(first_page)
    assert f"Rows {10 * last - 9} to {len(whole)} of {len(whole)}." in said(last_page)
    prompts = whole["prompt"].tolist()
    assert first_page.dataframe[0].value["prompt"].tolist() == prompts[:10]
    assert last_page.dataframe[0].value["prompt"].tolist() == prompts[10 * last - 10 :]
    everything = "milepost show hard-examples --run second --format csv"
    assert f"{everything} --workspace {told.workspace}" in said(last_page)


def test_hard_examples_of_one_type_are_counted_and_shown_alone(show: Show, told: Story) -> None:
    # Step 640 has 16 of 40 easy examples right and 560 had 35: those between were forgotten.
    app = show(told.workspace, "hard-examples", type="Forgotten")
    assert app.dataframe[0].value["type"].tolist() == ["forgotten"] * 19


def test_hard_examples_are_not_taken_for_those_of_a_step_that_failed(
    show: Show, tmp_path: Path
) -> None:
    engine = make_workspace(tmp_path)
    examples = register(engine)
    evaluate(engine, arrive(engine, 10), SUITES, answers(examples, Skill(40, 40, 30)))
    broken = arrive(engine, 20)
    fail(engine, start(engine, broken, SUITES, examples=120), broken, SUITES, message=REASON)
    derive(tmp_path, engine)
    engine.dispose()
    words = said(show(tmp_path, "hard-examples"))
    assert "examples at step 10." in words
    assert "Step 20 has no answers to look at." in words
    assert f"NothingScored: {REASON}" in words


def test_corrections_are_of_the_step_that_is_chosen(show: Show, told: Story) -> None:
    # Step 80 has 14 + 3 + 0 of 120 right, step 560 has 35 + 25 + 6.
    for step, wrong in (("80", 103), ("560", 54)):
        table = show(told.workspace, "corrections", step=step).dataframe[0].value
        assert table["n"].sum() == wrong


def failed_sync() -> SyncFailed:
    return SyncFailed(
        source="trainer:/runs",
        run=None,
        name=None,
        rsync_exit_code=255,
        message="connection refused",
        seconds=1.0,
        at="2026-11-24T10:00:00.000Z",
    )


def test_a_suite_of_which_every_example_failed_has_no_number(show: Show, tmp_path: Path) -> None:
    engine = make_workspace(tmp_path)
    examples = register(engine)
    for step, failing in ((10, False), (20, True)):
        seen = [
            (example, Seen("", error="no token to score"))
            if failing and example in examples["hard"]
            else (example, what)
            for example, what in answers(examples, Skill(30, 20, 10))
        ]
        evaluate(engine, arrive(engine, step), SUITES, seen)
    derive(tmp_path, engine)
    engine.dispose()
    app = show(tmp_path)
    assert "Step 20 FAILED on hard: nothing was measured there." in said(app)
    assert [one.label for one in app.metric if "hard" in one.label] == []


def test_suites_that_nobody_grades_have_a_loss_and_no_accuracy(show: Show, tmp_path: Path) -> None:
    engine = make_workspace(tmp_path)
    texts = [
        Example(
            "prose", example_id_of("text", (), f"text {k:02}"), k + 1, "text", (), f"text {k:02}"
        )
        for k in range(N)
    ]
    register_suite(engine, texts, suite_id="prose")
    for step, loss in ((10, -8.0), (20, -6.0)):
        seen = [(one, Seen("", target_logprob=loss)) for one in texts]
        evaluate(engine, arrive(engine, step), ["prose"], seen)
    derive(tmp_path, engine)
    engine.dispose()
    app = show(tmp_path)
    assert "No accuracy yet." in said(app)
    (loss_of_prose,) = [one for one in app.metric if "prose" in one.label]
    assert loss_of_prose.label == "Loss, prose"
    assert loss_of_prose.value == "0.750 nats"  # 6 nats over 8 tokens
    assert "No suite of this role has it" in said(show(tmp_path, "results", measure="Accuracy"))
    for path in ("calibration", "curriculum", "ranking", "corrections", "hard-examples", "tests"):
        assert re.search(
            "FAILED|No rank|No advice|No threshold|too few", said(show(tmp_path, path))
        )


def test_a_sync_that_fails_is_said_before_any_checkpoint_is_here(
    show: Show, tmp_path: Path
) -> None:
    engine = make_workspace(tmp_path)
    log.append(engine, failed_sync())
    derive(tmp_path, engine)
    engine.dispose()
    assert "Sync from trainer:/runs fails" in said(show(tmp_path))
    words = said(show(tmp_path, "alerts"))
    assert "connection refused" in words
    assert f"milepost sync --once --workspace {tmp_path}" in words


def test_without_a_workspace_the_page_says_what_to_run(show: Show, tmp_path: Path) -> None:
    words = said(show(tmp_path / "nowhere"))
    assert "Not ready" in words
    assert "milepost init" in words
    assert "milepost demo" in words


def test_without_a_database_the_page_says_what_to_run(show: Show, tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text("", encoding="utf-8")
    words = said(show(tmp_path))
    assert f"there is no database at {tmp_path / 'milepost.db'}" in words
    assert "milepost init" in words
