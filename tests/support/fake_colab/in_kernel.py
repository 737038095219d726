"""Runs in a kernel: asks the front end as `google.colab._message.blocking_request` does.

For a cell of any kernel: this text, then `ask_front_end("GetSecret")`. It blocks until the `colab_reply`.
"""


def ask_front_end(kind: str, request: object = None) -> object:
    """Send a `colab_request`; return the data of its reply, raise RuntimeError with its error."""
    import random
    import time
    import uuid

    import zmq
    from IPython import get_ipython

    kernel = get_ipython().kernel
    # Numbers for credentials, UUIDs for the rest.
    message_id = random.randrange(1, 2**31) if kind == "request_auth" else str(uuid.uuid4())  # noqa: S311
    if request is None:
        request = {"authType": "dfs_ephemeral"} if kind == "request_auth" else {"key": "HF_TOKEN"}
    # As in Colab: the parent has its session alone.
    parent = {"header": {"session": kernel.get_parent("shell")["header"]["session"]}}
    metadata = {"colab_msg_id": message_id, "colab_request_type": kind}
    message = kernel.session.msg("colab_request", content={"request": request}, metadata=metadata, parent=parent)
    kernel.session.send(kernel.iopub_socket, message)
    while True:
        try:
            _, reply = kernel.session.recv(kernel.stdin_socket, zmq.NOBLOCK)
        except Exception:
            reply = None
        value = reply["content"].get("value") if reply else None
        if isinstance(value, dict) and value.get("type") == "colab_reply" and value.get("colab_msg_id") == message_id:
            if "error" in value:
                raise RuntimeError(value["error"])
            return value.get("data")
        time.sleep(0.025)
