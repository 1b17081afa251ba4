"""How long a prompt is, and how much shorter one can be. Pure."""

from collections.abc import Sequence

from orchestrator.agents.messages import Question
from orchestrator.proposals.prompt import Message, build_messages
from orchestrator.proposals.review_prompt import ReviewBrief, build_review
from orchestrator.proposals.shares import CHARS_PER_TOKEN

_MOST_CUTS = 40


def build_chat(question: Question, context_tokens: int) -> list[Message]:
    """Return the messages that ask a question, within a context."""
    if isinstance(question, ReviewBrief):
        return build_review(question, context_tokens=context_tokens)
    return build_messages(question, context_tokens=context_tokens)


def size_of(messages: Sequence[Message]) -> int:
    """Return the characters of some messages."""
    return sum(len(message.content) for message in messages)


def smaller_context(question: Question, context_tokens: int, size: int) -> int | None:
    """Return a context that makes a shorter prompt than `size` characters, None if none does."""
    # A prompt is shorter than the context: room is reserved for further turns.
    smaller = min(context_tokens, int(2 * size / CHARS_PER_TOKEN))
    shorter = size
    for _ in range(_MOST_CUTS):
        smaller = smaller * 9 // 10
        shorter = size_of(build_chat(question, smaller))
        if shorter <= size * 2 // 3:
            return smaller
    return smaller if shorter < size else None
