"""PyPI's majortomo as a worker: ENDPOINT SERVICE.

Answers with the frames that it was sent: all but the last as PARTIALs. A body that is a
number is how many seconds it works first: it says nothing meanwhile.
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
