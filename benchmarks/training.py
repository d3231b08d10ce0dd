"""Real series of checkpoints: Gemma fine-tuned for some steps, and the demo's training run."""

from __future__ import annotations

from pathlib import Path

from benchmarks import cache, gemma, rows

DEMO_SEED = 1
STEPS_BETWEEN = 8
SAVES = 2
BATCH = 2
LENGTH = 192  # tokens
LEARNING_RATE = 1e-5


def demo_checkpoints() -> list[Path]:
    """The checkpoints of the demo's training run in the order of their steps."""
    return _in_order(cache.kept("demo-run", _train_demo))


def gemma_checkpoints() -> list[Path]:
    """Two checkpoints of Gemma, 8 and 16 steps into a fine-tuning on Python's documentation.

    The text is of the parts that the benchmark's rows leave alone.
    """
    name = f"{gemma.NAME}-tuned-{STEPS_BETWEEN}x{SAVES}"
    return _in_order(cache.kept(name, _tune_gemma))


def _in_order(folder: Path) -> list[Path]:
    found = folder.glob("checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _train_demo(target: Path) -> None:
    from data.trainer import train

    train(target, seed=DEMO_SEED)


def _tune_gemma(target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(gemma.folder())
    model = AutoModelForCausalLM.from_pretrained(gemma.folder(), dtype=torch.float32)
    unseen = "\n\n".join(text[rows.LEAD :] for text in rows.documents())
    ids = torch.tensor(tokenizer(unseen[: 20 * BATCH * LENGTH * STEPS_BETWEEN])["input_ids"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    model.train()
    for step in range(STEPS_BETWEEN * SAVES):
        batch = ids[step * BATCH * LENGTH : (step + 1) * BATCH * LENGTH].view(BATCH, LENGTH)
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        if (step + 1) % STEPS_BETWEEN == 0:
            model.save_pretrained(target / f"checkpoint-{step + 1}")
            tokenizer.save_pretrained(target / f"checkpoint-{step + 1}")


if __name__ == "__main__":
    print(*demo_checkpoints(), *gemma_checkpoints(), sep="\n")
