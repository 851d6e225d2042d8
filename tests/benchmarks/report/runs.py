"""Result logs of made-up runs: questions about numbered facts, of any size."""

from random import Random

from langgraph_memskill.benchmarks.intervals import mean_interval
from langgraph_memskill.benchmarks.run_log import (
    OVERALL,
    BuildLog,
    CategoryLog,
    CostLog,
    DataLog,
    EnvironmentLog,
    ItemLog,
    MemoryLog,
    MetricLog,
    ModelLog,
    RecalledLog,
    RowLog,
    RunLog,
    SampleLog,
    ScoreLog,
    SpanLog,
    StepLog,
    TimesLog,
)
from langgraph_memskill.records import Usage

READERS = (ModelLog(role="reader", name="extractive"),)
METRICS = ("f1", "evidence_recall@20", "judge")
KINDS = ("multi-hop", "single-hop", "temporal")


def sample_log(name, num_spans):
    spans = tuple(
        SpanLog(
            id=f"{name}:{i}",
            text=f"DATE: {i + 1} May 2024\nAnn said, fact {i} of {name} is number {i * 7}.",
            session=f"session_{i}",
            time=f"{i + 1} May 2024",
        )
        for i in range(num_spans)
    )
    return SampleLog(id=name, spans=spans)


def build_log(sample, skills):
    memories = tuple(
        MemoryLog(
            id=f"m{i}",
            content=f"Fact {i} of {sample.id} is number {i * 7}.",
            skills=(skills[i % len(skills)],) if skills else (),
            span_ids=(span.id,),
            evidence_ids=(f"D{i}:1",),
        )
        for i, span in enumerate(sample.spans)
    )
    uses = {skill: 1 + len(sample.spans) // len(skills) for skill in skills}
    return BuildLog(
        sample=sample.id,
        key=f"key of {sample.id}",
        memories=memories,
        num_memories=len(memories),
        skill_uses=uses,
        actions={"insert": len(memories)},
        usage=Usage(calls=len(memories), input_tokens=900 * len(memories), output_tokens=40),
    )


def item_log(sample, number, quality, generator, num_recalled):
    place = number % len(sample.spans)
    is_right = generator.random() < quality
    others = generator.sample(range(len(sample.spans)), min(num_recalled, len(sample.spans)))
    recalled = ([place] if is_right else []) + [i for i in others if i != place]
    f1 = 1.0 if is_right else round(generator.random() / 2, 3)
    return ItemLog(
        id=f"{sample.id}/q{number}",
        sample=sample.id,
        category=KINDS[number % len(KINDS)],
        text=f"Which number is fact {place} of {sample.id}?",
        gold=(str(place * 7),),
        evidence=(f"D{place}:1",),
        answer=str(place * 7) if is_right else "I do not know.",
        scores={
            "f1": ScoreLog(value=f1),
            "evidence_recall@20": ScoreLog(value=float(is_right)),
            "judge": ScoreLog(value=None, problem="the judge's reply cannot be read: 'well'")
            if number % 50 == 3
            else ScoreLog(value=float(is_right)),
        },
        recalled=tuple(
            RecalledLog(memory_id=f"m{i}", score=round(0.9 - rank / 50, 3))
            for rank, i in enumerate(recalled[:num_recalled])
        ),
        usage=Usage(calls=1, input_tokens=60 + 45 * num_recalled, output_tokens=6),
        seconds=0.2,
    )


def failed_item(item):
    changes = {"answer": None, "scores": {}, "recalled": (), "error": "ModelCallError: 503"}
    return item.model_copy(update=changes)


def category_log(category, items):
    metrics = {}
    for metric in METRICS:
        scores = [item.scores[metric] for item in items if metric in item.scores]
        values = [score.value for score in scores if score.value is not None]
        numbers = mean_interval(values) if values else (None, None, None)
        metrics[metric] = MetricLog(
            mean=numbers[0],
            low=numbers[1],
            high=numbers[2],
            scored=len(values),
            unscored=sum(score.problem is not None for score in scores),
        )
    failed = sum(item.error is not None for item in items)
    return CategoryLog(category=category, items=len(items), failed=failed, metrics=metrics)


def row_log(name, title, samples, items, *, skills=()):
    builds = tuple(build_log(sample, skills) for sample in samples)
    building = sum((build.usage for build in builds if skills), Usage())
    answering = sum((item.usage for item in items), Usage())
    answered = [item for item in items if item.error is None]
    kinds = sorted({item.category for item in items})
    return RowLog(
        name=name,
        title=title,
        builds=builds,
        items=tuple(items),
        categories=(
            *(category_log(k, [item for item in items if item.category == k]) for k in kinds),
            category_log(OVERALL, items),
        ),
        building=CostLog(usage=building),
        answering=CostLog(usage=answering),
        total=CostLog(usage=building + answering),
        tokens_per_item=sum(item.usage.tokens for item in answered) / max(len(answered), 1),
        seconds_per_item=0.2,
    )


def run_log(
    rows,
    samples,
    *,
    task="locomo",
    sha256="0" * 64,
    split="test",
    metrics=METRICS,
    run_id="abc",
    models=READERS,
    top_k=20,
):
    return RunLog(
        id=run_id,
        data=DataLog(
            task=task,
            file="made_up.json",
            sha256=sha256,
            split=split,
            span_mode="full-session",
            samples=tuple(sample.id for sample in samples),
        ),
        models=models,
        environment=EnvironmentLog(
            git_revision="1234567", git_dirty=False, python="3.11", platform="Linux", packages={}
        ),
        settings={"top_k": top_k},
        seeds={"random": 0},
        metrics=metrics,
        samples=tuple(samples),
        rows=tuple(rows),
        times=TimesLog(
            started_at="2026-11-25T10:00:00+00:00",
            finished_at="2026-11-25T10:05:00+00:00",
            seconds=300.0,
        ),
    )


ROWS = (
    ("none", "no memory", 0.05, 0, ()),
    ("rag", "plain RAG", 0.55, 20, ()),
    ("full", "full context", 0.7, 40, ()),
    ("random", "random skills", 0.5, 20, ("insert", "update", "people_and_identity")),
    ("all", "all skills", 0.6, 20, ("insert", "update", "people_and_identity", "noop")),
    ("similarity", "similarity", 0.62, 20, ("insert", "people_and_identity")),
    ("controller", "trained controller", 0.68, 20, ("insert", "update")),
)


def made_up_run(*, num_samples=2, num_questions=12, num_spans=30, num_rows=3, seed=0, **fields):
    """A run of some rows over the same questions; every 40th question of the second row fails."""
    samples = [sample_log(f"conv-{i}", num_spans) for i in range(num_samples)]
    rows = []
    for position, (name, title, quality, num_recalled, skills) in enumerate(ROWS[:num_rows]):
        generator = Random(f"{seed} {name}")
        items = [
            item_log(sample, number, quality, generator, num_recalled)
            for sample in samples
            for number in range(num_questions)
        ]
        if position == 1:
            items = [failed_item(item) if n % 40 == 5 else item for n, item in enumerate(items)]
        rows.append(row_log(name, title, samples, items, skills=skills))
    return run_log(rows, samples, **fields)


def scored_run(*scores, **fields):
    """One row for each list of F1 scores, over the same questions."""
    run = made_up_run(num_samples=1, num_questions=len(scores[0]), num_rows=1)
    items = run.rows[0].items
    sample = sample_log("conv-0", 30)
    rows = [
        row_log(
            f"row{n}",
            f"row {n}",
            [sample],
            [
                item.model_copy(update={"scores": {"f1": ScoreLog(value=value)}})
                for item, value in zip(items, values, strict=True)
            ],
        )
        for n, values in enumerate(scores)
    ]
    return run_log(rows, [sample], **fields)


def game_run():
    """One game that an agent has played."""
    sample = SampleLog(id="game-1")
    steps = (
        StepLog(
            observation="You are in a kitchen.", action="look", thought="Where am I?", match="miss"
        ),
        StepLog(observation="You see a mug.", action="take mug 1", reward=1.0),
    )
    item = ItemLog(
        id="game-1",
        sample="game-1",
        category="pick_and_place",
        text="put a mug on the desk",
        answer="solved",
        scores={"f1": ScoreLog(value=1.0)},
        steps=steps,
        usage=Usage(calls=2, input_tokens=500, output_tokens=10),
        seconds=1.5,
    )
    row = row_log("agent", "agent", [sample], [item])
    return run_log([row], [sample], task="alfworld", metrics=("f1",))
