"""Runs a module as `python -m` does, until standard input closes: `python until_closed.py MODULE ARGUMENTS...`.

So no server outlives a test run that was killed.
"""

import os
import runpy
import sys
import threading


def end() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
