"""What the wrong answers of a checkpoint have in common, by their texts; asked when it is shown."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from sqlalchemy import Connection, select

from store.lifecycle import EVALUATION
from views import error_texts, mining
from views.error_texts import Cluster, Wrong
from views.pages import layout, words
from views.pages.reading import Here

SHOWN, SAMPLES = 5, 3


@dataclass(frozen=True)
class Alike:
    """Which wrong answers of a checkpoint to the suites of a role are wrong in the same way?"""

    checkpoint_id: str
    role: str

    def answer(self, connection: Connection) -> tuple[int, list[Cluster]]:
        """How many wrong answers were looked at, and their clusters."""
        evaluation_id = connection.scalars(
            select(EVALUATION.c.evaluation_id).where(
                EVALUATION.c.checkpoint_id == self.checkpoint_id, EVALUATION.c.current == 1
            )
        ).one()
        found = mining.wrong_ones(connection, evaluation_id, self.role)[: error_texts.MOST]
        wrong = [
            Wrong(one.example_id, one.question.prompt, one.target, one.answer) for one in found
        ]
        return len(wrong), error_texts.clusters(wrong)


def alike(here: Here, checkpoint_id: str, role: str) -> None:
    """The largest clusters, with some samples of each; nothing where there is none."""
    looked_at, clusters = here.ask(Alike(checkpoint_id, role))
    if not clusters:
        return
    layout.section("Wrong in the same way")
    together = sum(len(one.members) for one in clusters)
    st.caption(
        f"{together:,} of {words.count(looked_at, 'wrong answer')} are like others, by the edits "
        "from what it should say to what it said. A group has the name that fits the most of it."
    )
    for one in clusters[:SHOWN]:
        n = len(one.members)
        share = words.percent(n / looked_at)
        title = f"{one.label[0].upper()}{one.label[1:]}: {words.count(n, 'answer')}, {share}"
        with st.expander(words.plain(f"{title} (the name fits {one.labelled})")):
            for wrong in one.members[:SAMPLES]:
                layout.texts(
                    {"Prompt": wrong.prompt, "Should say": wrong.target, "Said": wrong.answer}
                )
