"""10,000 rows, 20 SIGKILLs: the file is the unkilled one's, byte for byte; and how much faster it is than one request after the other."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import served_models
from served_models import served

from workbench.serving import batch
from workbench.serving.session import Session

ROWS, KILLS = 10_000, 20


def test_twenty_kills_change_no_byte(home: Path, tmp_path: Path) -> None:
    session = Session(served_models.mlp(home / "models" / "mlp" / "1"))
    source, out, note = tmp_path / "in.jsonl", tmp_path / "killed.csv", tmp_path / ".killed.csv.done"
    rng = np.random.default_rng(1)
    source.write_text("".join(json.dumps({"pixels": rng.random(784).round(3).tolist()}) + "\n" for _ in range(ROWS)))
    begin = time.monotonic()
    batch.transform(session, source, tmp_path / "whole.csv")
    alone = ROWS / (time.monotonic() - begin)
    command = [sys.executable, "-P", "-m", "workbench.cli", "predict", "mlp", "--batch", str(source), "--to", str(out)]
    kills = 0
    while not out.exists():
        process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = note.read_bytes() if note.exists() else b""
        while kills < KILLS and process.poll() is None and (not note.exists() or note.read_bytes() == before):
            time.sleep(0.001)
        if kills < KILLS and process.poll() is None:
            # Anywhere in the next piece, not only right after a note.
            time.sleep(float(rng.random()) * 0.03)
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    whole = (tmp_path / "whole.csv").read_bytes()
    assert out.read_bytes() == whole

    lines = source.read_text().splitlines()[:500]
    differing = 0
    with served(session.folder.path) as server:
        line = HTTPConnection("127.0.0.1", server.port, timeout=30)
        begin = time.monotonic()
        for text, row in zip(lines, csv.DictReader(whole.decode().splitlines()), strict=False):
            line.request("POST", "/invocations", text, {"Content-Type": "application/json"})
            answer = json.loads(line.getresponse().read())
            assert answer["answer"] == row["answer"]
            shares = answer["probabilities"]
            assert all(abs(float(row[name]) - share) <= 1e-5 for name, share in shares.items())
            differing += any(float(row[name]) != float(f"{share:.6g}") for name, share in shares.items())
        single = len(lines) / (time.monotonic() - begin)
    print(f"{kills} kills; {alone:,.0f} rows/s in batch, {single:,.0f}/s one by one; {differing} of {len(lines)} rows differ at 6 digits")
    assert kills == KILLS
