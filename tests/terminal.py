"""Runs a command on a pseudo-terminal, to see what a person would see."""

import os
import pty
import re
import subprocess

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_on_terminal(command, stdout=None):
    """The exit code, and all that the command wrote to a terminal 100 columns wide, with and without escapes.

    Standard output goes to the terminal too unless it is given.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=stdout or theirs, stderr=theirs, env=environment)
    os.close(theirs)
    received = b""
    try:
        while chunk := os.read(ours, 65536):
            received += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    text = received.decode()
    return process.wait(), text, without_escapes(text)


def without_escapes(text):
    """The text without what moves the cursor or sets colours."""
    return _ESCAPES.sub("", text)
