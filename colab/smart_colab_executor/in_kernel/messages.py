"""The names in the messages between kernel and executor. Both import this at their start."""

from __future__ import annotations

# A request of the executor's, and the answer.
MESSAGE_TYPE = "smart_colab_request"
REPLY_TYPE = "smart_colab_reply"
# In the header of the executor's messages to an adopted kernel, before its pid.
USERNAME = "smart_colab:"
LEAVING_TYPE = "smart_colab_leaving"
# `final` in its content: requests sent and not yet started will not run.
EXIT_TYPE = "smart_colab_exit"
# Reports a `!command` that failed; the content has its exit code.
FAILED_TYPE = "smart_colab_command_failed"
# Iterations of a loop have been reported.
REPORTED_TYPE = "smart_colab_reported"
# How the cluster is that a loop runs on; the content is `cluster_view`'s.
CLUSTER_TYPE = "smart_colab_cluster"
# How many iterations a cluster began again, and ran without counting them.
RERUNS_TYPE = "smart_colab_reruns"
# A question of `input()`; the content has its number and its prompt.
QUESTION_TYPE = "smart_colab_question"
# It ended without an answer.
WITHDRAWN_TYPE = "smart_colab_question_withdrawn"
# Of a request to run code: whether it may ask, and the arguments of the loop of which it is the body.
MAY_ASK = "smart_colab_may_ask"
LOOP = "smart_colab_loop"
# In a stream's message: it and earlier ones hold all text written to the stream up to this position.
POSITION = "smart_colab_position"
# And all text written to any stream up to this one.
COMPLETE = "smart_colab_complete"


class CellExited(BaseException):
    """`exit()` was called: the rest of the cell does not run, and that is not an error."""


class ExitCalled(BaseException):
    """The body of a loop asked its own Python process to end: no further iteration runs."""
