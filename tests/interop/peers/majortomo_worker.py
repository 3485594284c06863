"""PyPI's majortomo as a worker: ENDPOINT SERVICE.

Replies with the frames of the request, all but the last as PARTIALs. If the body is a number, it
works for that many seconds first, without sending anything.
"""

import sys
import time

from majortomo import Worker, WorkerRequestsIterator

requests = WorkerRequestsIterator(Worker(sys.argv[1], sys.argv[2]))
for frames in requests:
    if frames[0].replace(b".", b"").isdigit():
        time.sleep(float(frames[0]))
    for frame in frames[:-1]:
        requests.send_reply_partial([frame])
    requests.send_reply_final(frames[-1:])
