"""What joining requests is worth: the service beside a plain FastAPI
application that scores each request by itself.

    python benchmarks/service.py [ROUNDS]

Both serve one artifact of films of MovieLens' shape, each in a process of its
own on this machine, and are asked in turns, for one row a request, by one
caller, by eight and by sixty-four who ask again as soon as they are answered.
It takes some minutes and writes service.json beside this file, which the page
Service shows: the 50th and the 99th of a hundred waiting times, requests a
second, CPU milliseconds of the server for each request, and the service over
the plain one, of which the median round counts. The callers run on the same
cores, and their own work is in all of these but the server's milliseconds."""
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np

callers = 1, 8, 64
seconds = 3.    # Of a turn


def plain_app(artifact):
    "A request, a call: what a page of FastAPI's tutorial would make of it."
    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel
    app = FastAPI()

    class Rows(BaseModel): rows: list[dict]

    @app.post('/score')
    def score(body: Rows):
        try: return dict(scores=artifact.score(body.rows).tolist())
        except ValueError as e: raise HTTPException(422, str(e)) from None
    return app


def serve_plain(folder):
    "Serve that at a free port, which is printed."
    from recofm.cli.serve import address_of, server_of, taken
    from recofm.serving import Artifact
    app = plain_app(Artifact.load(folder))
    with taken('127.0.0.1', 0) as held:
        held.listen()
        print(f'{address_of(held)} ', flush=True)
        server_of(app).run([held])


def serve(folder):
    "Serve as `recofm serve` does."
    from recofm.cli import main
    main(['serve', folder, '--port', '0', '--no-page'])


ways = dict(plain=serve_plain, service=serve)


async def call(reader, writer, body):
    "The answer to one request, by a connection that stays open."
    head = ('POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json'
            f'\r\nContent-Length: {len(body)}\r\n\r\n')
    writer.write(head.encode() + body)
    said = await reader.readuntil(b'\r\n\r\n')
    assert said.startswith(b'HTTP/1.1 200'), said
    size = int(said.lower().split(b'content-length:')[1].split(b'\r')[0])
    return await reader.readexactly(size)


async def caller(port, bodies, until, waited):
    "Ask until it is over, and note how long each answer took."
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    n = 0
    while (start := time.perf_counter()) < until:
        await call(reader, writer, bodies[n % len(bodies)])
        waited.append(time.perf_counter() - start)
        n += 1
    writer.close()


def spent(process):
    "CPU seconds of a process so far."
    stat = Path(f'/proc/{process.pid}/stat').read_text().split(')')[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf('SC_CLK_TCK')


async def turn(process, port, bodies, count):
    "Some callers at once, for some seconds."
    waited, start = [], spent(process)
    until = time.perf_counter() + seconds
    parts = [bodies[i::count] for i in range(count)]
    await asyncio.gather(*(caller(port, p, until, waited) for p in parts))
    ms = 1000 * np.array(waited)
    return dict(p50_ms=np.percentile(ms, 50), p99_ms=np.percentile(ms, 99),
                requests_s=len(ms) / seconds,
                cpu_ms=1000 * (spent(process) - start) / len(ms))


def started(name, folder):
    "A server in a process of its own, and its port."
    words = [sys.executable, __file__, 'serve', name, folder]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    return process, int(re.search(r'127.0.0.1:(\d+) ', line)[1])


def check(port, rows, expected):
    "The scores are the artifact's, whoever serves them."
    async def one(row):
        both = await asyncio.open_connection('127.0.0.1', port)
        body = json.dumps(dict(rows=[row])).encode()
        return json.loads(await call(*both, body))['scores'][0]

    async def every(): return await asyncio.gather(*map(one, rows))
    np.testing.assert_allclose(asyncio.run(every()), expected, rtol=1e-5)


def summed(turns):
    "The median of each figure, and of the service over the plain one."
    found = {name: {k: round(float(np.median([t[name][k] for t in turns])), 3)
                    for k in turns[0][name]} for name in ways}
    for k, better in dict(requests_s=1, p99_ms=-1, cpu_ms=-1).items():
        times = [(t['service'][k] / t['plain'][k]) ** better for t in turns]
        found[f'times_{k}'] = dict(
            median=round(float(np.median(times)), 2),
            low=round(min(times), 2), high=round(max(times), 2))
    return found


def measured(folder, rows, expected, rounds):
    "All turns of both servers."
    servers = {name: started(name, folder) for name in ways}
    bodies = [json.dumps(dict(rows=[row])).encode() for row in rows]
    result = {}
    try:
        for _, port in servers.values(): check(port, rows[:50], expected[:50])
        for count in callers:
            turns = [{name: asyncio.run(turn(*servers[name], bodies, count))
                      for name in [*ways][::1 if r % 2 else -1]}
                     for r in range(rounds)]
            result[f'callers_{count}'] = summed(turns)
    finally:
        for process, _ in servers.values(): process.terminate()
        for process, _ in servers.values(): process.wait(30)
    return result


def main(rounds=5):
    from export import artifact
    from tables import machine
    found, frame = artifact()
    rows = frame[:2000].drop(columns='liked').to_dict('records')
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as here:
        found.save(f'{here}/films')
        result = measured(f'{here}/films', rows, found.score(rows), rounds)
    result['machine'] = machine() | dict(load=load, rounds=rounds)
    text = json.dumps(result, indent=1)
    Path(__file__).with_suffix('.json').write_text(text + '\n', 'utf-8')
    print(text)


if __name__ == '__main__':
    if sys.argv[1:2] == ['serve']: ways[sys.argv[2]](sys.argv[3])
    else: main(*map(int, sys.argv[1:]))
