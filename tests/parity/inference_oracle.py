"""Memory construction of the paper's code in NumPy, as it is or with its quirks mended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ParseError
from langgraph_memskill.parsing import parse_actions

Floats = NDArray[np.float32]


@dataclass
class Step:
    retrieved: list[int]
    chosen: list[str]
    executed: list[str]
    applied: list[tuple[str, str]] = field(default_factory=list)
    failed: bool = False


@dataclass
class Entry:
    """One memory of the oracle's bank."""

    content: str
    former: list[str] = field(default_factory=list)


class Oracle:
    """The kit's rules in NumPy; `mended` applies the verdicts of the quirks named above."""

    def __init__(self, case: dict[str, Any], tensors: dict[str, Floats], *, mended: bool) -> None:
        self.case, self.mended = case, mended
        prefix = f"{case['id']}."
        self.weights = {
            key.removeprefix(f"{prefix}weights."): value.astype(np.float64)
            for key, value in tensors.items()
            if key.startswith(f"{prefix}weights.")
        }
        texts = case["texts_with_embeddings"]
        rows = tensors[f"{prefix}state_embeddings"]
        self.rows = {text: row.astype(np.float64) for text, row in zip(texts, rows, strict=True)}
        self.skills = case["skills_in_candidate_order"]
        self.types = {skill["name"]: skill["update_type"] for skill in self.skills}
        self.descriptions = tensors[f"{prefix}op_embeddings"].astype(np.float64)
        self.bank: list[Entry] = []
        self.steps: list[Step] = []

    def run(self) -> "Oracle":
        sessions, workers = self.case["sessions"], self.case["workers"]
        for start in range(0, len(sessions), workers):
            batch = [self._read(session) for session in sessions[start : start + workers]]
            self.steps += [step for step, _ in batch]
            self._apply(batch)
        return self

    def _layers(self, name: str, x: NDArray[Any], *, last_relu: bool) -> NDArray[Any]:
        w = self.weights
        hidden = np.maximum(x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"], 0)
        out = hidden @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"]
        return np.maximum(out, 0) if last_relu else out

    def _choose(self, span: NDArray[Any], rows: NDArray[Any]) -> list[str]:
        memory = np.zeros_like(span)
        if len(rows) and self.case["state_fusion"] == "mean":
            memory = rows.mean(0)
        elif len(rows):
            norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(span)
            scaled = rows @ span / (norms + 1e-8) / self.case["state_fusion_tau"]
            weights = np.exp(scaled - scaled.max())
            memory = weights @ rows / weights.sum()
        state = self._layers("state_net", np.concatenate([span, memory]), last_relu=True)
        skills = self._layers("op_net", self.descriptions, last_relu=True)
        joined = np.concatenate([np.tile(state, (len(skills), 1)), skills], axis=1)
        logits = self._layers("actor_head", joined, last_relu=False)[:, 0]
        order = np.argsort(-logits, kind="stable")[: self.case["K"]]
        return [self.skills[i]["name"] for i in order]

    def _read(self, session: dict[str, Any]) -> tuple[Step, list[tuple[str, int, str]]]:
        span = self.rows[session["text"]]
        rows = np.array([self.rows[entry.content] for entry in self.bank])
        ranked = np.argsort(-(rows @ span), kind="stable") if len(rows) else np.array([], int)
        retrieved = [int(i) for i in ranked[: self.case["mem_top_k"]]]
        chosen = self._choose(span, rows[retrieved] if retrieved else rows)
        executed = [name for name in chosen if self.types[name] != "noop" and name != "noop"]
        step = Step(retrieved, chosen, executed)
        if not executed:
            return step, []
        if session["llm_raises"]:
            step.failed = True
            return step, []
        try:
            parsed = parse_actions(session["llm_reply"], len(retrieved))
        except ParseError:
            step.failed = True
            return step, []
        # A reply of which nothing can be used has not been read: the span is kept for retry.
        step.failed = self.mended and bool(parsed) and all(a.problem for a in parsed)
        allowed = {self.types[name] for name in executed}
        actions = [
            (a.type.value, -1 if a.memory_index is None else retrieved[a.memory_index], a.content)
            for a in parsed
            if a.problem is None and (not self.mended or a.type.value in allowed)
        ]
        return step, actions

    def _apply(self, batch: Sequence[tuple[Step, list[tuple[str, int, str]]]]) -> None:
        collapse = self.mended or len(batch) > 1
        actions = [(step, action) for step, found in batch for action in found]
        if collapse:
            actions = self._collapsed(actions, merge_inserts=len(batch) > 1)
        else:
            rank = {"update": 0, "delete": 1, "insert": 2, "noop": 3}
            actions.sort(key=lambda entry: rank[entry[1][0]])
        gone: list[int] = []
        for step, (kind, position, content) in actions:
            if kind == "update":
                self.bank[position].former.append(self.bank[position].content)
                self.bank[position].content = content
            elif kind == "delete":
                content = self.bank[position].content
                gone.append(position)
            elif kind == "insert":
                self.bank.append(Entry(content))
            step.applied.append((kind, content))
        # Deletes come before inserts, and the highest position goes first, so none shifts.
        for position in sorted(gone, reverse=True):
            del self.bank[position]

    @staticmethod
    def _collapsed(
        actions: list[tuple[Step, tuple[str, int, str]]], *, merge_inserts: bool
    ) -> list[tuple[Step, tuple[str, int, str]]]:
        deletes: dict[int, Any] = {}
        updates: dict[int, Any] = {}
        inserts: list[Any] = []
        seen: set[str] = set()
        for step, (kind, position, content) in actions:
            if kind == "delete":
                deletes.setdefault(position, (step, (kind, position, content)))
            elif kind == "update":
                updates[position] = (step, (kind, position, content))
            elif kind == "insert":
                key = " ".join(content.split())
                if not merge_inserts or key not in seen:
                    inserts.append((step, (kind, position, content)))
                seen.add(key)
        kept = [updates[i] for i in sorted(updates) if i not in deletes]
        return [*kept, *(deletes[i] for i in sorted(deletes)), *inserts]
