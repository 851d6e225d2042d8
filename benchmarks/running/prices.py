"""Prices of models, from a table that the user keeps."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Usage

_PER = 1_000_000
_FREE = ("extractive",)
_FORM = 'write it like {"gpt-4.1-mini": {"input": 0.4, "output": 1.6}}, prices per million tokens'


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost."""

    input: float
    output: float


class PriceTable:
    """Prices by model name."""

    def __init__(self, prices: dict[str, Price]) -> None:
        """Keep the prices."""
        self._prices = prices

    def check(self, *models: str) -> None:
        """Refuse a run whose models have no price.

        Raises:
            ConfigError: If the table lacks one.
        """
        for model in models:
            if model not in self._prices and model not in _FREE:
                raise ConfigError(
                    f"the price table has no model {model!r}; it has "
                    f"{', '.join(sorted(self._prices)) or 'none'}"
                )

    def cost(self, model: str, usage: Usage) -> float:
        """What some calls of a model cost, in the table's currency."""
        if model in _FREE:
            return 0.0
        price = self._prices[model]
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / _PER

    def to_json(self) -> dict[str, Any]:
        """The table as plain data."""
        return {
            name: {"input": price.input, "output": price.output}
            for name, price in sorted(self._prices.items())
        }


def cost_of(prices: PriceTable | None, model: str | None, usage: Usage) -> float | None:
    """What some calls cost; None without a price table or a model."""
    return None if prices is None or model is None else prices.cost(model, usage)


def read_prices(file: Path) -> PriceTable:
    """Read a price table.

    Args:
        file: JSON or TOML: for each model name `input` and `output`, prices per million tokens.

    Raises:
        ConfigError: If it cannot be read or has another form.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the price table {file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"the price table {file} is no table by model: {_FORM}")
    return PriceTable({str(name): _price(name, entry, file) for name, entry in content.items()})


def _price(name: str, entry: object, file: Path) -> Price:
    values = entry if isinstance(entry, dict) else {}
    numbers = [values.get("input"), values.get("output")]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise ConfigError(f"the price table {file} has no prices for {name!r}: {_FORM}")
    return Price(input=float(values["input"]), output=float(values["output"]))
