"""What a job's code asks the user: one question at a time, each answered once."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..core.errors import NotAsking

# The whole of it is in the output.
MAX_PROMPT_CHARS = 2_000
LOOK = "Read the job: 'asking' is what it asks now."


@dataclass(frozen=True)
class Question:
    """A question; a later one has a higher number."""

    number: int
    prompt: str


@dataclass(frozen=True)
class Answer:
    """What came of a question: a line without its end, or no `value`."""

    number: int
    value: str | None
    # Of no value: "declined" or "end" (of the input); anything else is just no answer.
    reason: str | None = None


class Questions:
    """The questions of a job. Only the kernels' thread changes them."""

    def __init__(self) -> None:
        self.open: Question | None = None
        self._answer: Answer | None = None

    def describe(self) -> dict[str, object] | None:
        """Return the open question as the API shows it."""
        question = self.open
        return None if question is None else asdict(question)

    def ask(self, number: int, prompt: str) -> None:
        """Open a question."""
        self.open = Question(number, prompt[:MAX_PROMPT_CHARS])

    def withdraw(self) -> None:
        """Close the question without an answer."""
        self.open = None

    def take(self, answer: Answer) -> bool:
        """Take an answer; return whether it is new, and is to be passed on. Raises NotAsking."""
        number = answer.number
        if self._answer == answer:
            return False
        if self._answer is not None and self._answer.number == number:
            raise NotAsking(f"Question {number} was answered with another value.", f"The first answer counts. {LOOK}")
        if self.open is None or self.open.number != number:
            raise NotAsking(f"The job does not ask question {number} now.", LOOK)
        self.open, self._answer = None, answer
        return True

    def forget(self, number: int) -> NotAsking:
        """Note that the code did not wait for the answer any more; return the error."""
        self._answer = None
        return NotAsking(f"The code stopped waiting for the answer to question {number}.", LOOK)
