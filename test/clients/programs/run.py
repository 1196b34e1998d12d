"""Runs the cases of a client and reports what it saw: one line of JSON for each. `run.ts` is the same for Node."""

import json
import sys
import threading
import traceback
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

facts = json.loads((Path(__file__).parent.parent / "facts.json").read_text())


def failure_of(use):
    """The failure of a program that should have failed: the class of its error, and the status."""
    try:
        use()
    except Exception as error:
        return to_failure(error)
    return {"error": "none"}


def to_failure(error):
    failure = {"error": type(error).__name__}
    status = getattr(error, "status_code", None)
    return {**failure, "status": status} if isinstance(status, int) and status > 0 else failure


def read(parts):
    """Reads pairs of text and finish reason until they end or fail."""
    texts = []
    finish = None
    try:
        for text, reason in parts():
            if text:
                texts.append(text)
            finish = reason or finish
    except Exception as error:
        return {"text": "".join(texts), **to_failure(error)}
    reading = {"text": "".join(texts), "isStreamed": len(texts) > 2}
    return reading if finish is None else {**reading, "finish": to_finish(finish)}


def to_finish(finish):
    """Protocols have different words for the same."""
    return {"end_turn": "stop", "max_tokens": "length", "completed": "stop"}.get(finish, finish)


def many(ask):
    """How many of 32 requests at once get the text that they asked for."""
    questions = [f"number {index}" for index in range(32)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, questions))
    return {"right": sum(answer == question for answer, question in zip(answers, questions))}


def closed(target, model):
    """Whether the host's sockets for the model were closed, while this process runs on."""
    with urllib.request.urlopen(f"{target['control']}/{model}") as response:
        return json.load(response)


TIME_LIMIT = 60


def run(clients):
    """`clients`: by name, for each gateway of the command line."""
    targets = json.loads(sys.argv[1])
    only = sys.argv[2:]
    for client, make_cases in clients.items():
        for target in targets:
            for name, use in make_cases(target).items():
                if only == [] or name in only:
                    line = {"client": client, "host": target["host"], "case": name, **within(use)}
                    print(json.dumps(line), flush=True)


def within(use):
    outcome = {"fault": "too late"}

    def work():
        try:
            outcome["result"] = use()
            del outcome["fault"]
        except Exception:
            outcome["fault"] = traceback.format_exc()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    return dict(outcome)
