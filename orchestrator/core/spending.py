"""What calls to models cost, or may cost. Pure records."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spend:
    """Tokens (input and output) and US dollars."""

    tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: "Spend") -> "Spend":
        """Add two."""
        return Spend(self.tokens + other.tokens, self.cost_usd + other.cost_usd)

    def minus(self, other: "Spend") -> "Spend":
        """Subtract one."""
        return Spend(self.tokens - other.tokens, self.cost_usd - other.cost_usd)


@dataclass(frozen=True)
class WorstCase:
    """The most that one call may cost; None where nobody can say."""

    tokens: int | None = None
    cost_usd: float | None = None

    @property
    def spend(self) -> Spend:
        """It as far as it is known."""
        return Spend(self.tokens or 0, self.cost_usd or 0.0)

    def or_worse(self, other: "WorstCase") -> "WorstCase":
        """Return the worse of two, as far as it is known."""
        tokens = [each for each in (self.tokens, other.tokens) if each is not None]
        usd = [each for each in (self.cost_usd, other.cost_usd) if each is not None]
        return WorstCase(max(tokens, default=None), max(usd, default=None))


FREE = WorstCase(0, 0.0)
"""Of a call that costs nothing: it is no model's."""
