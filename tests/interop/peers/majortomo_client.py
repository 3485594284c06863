"""Call a service with PyPI's majortomo: ENDPOINT SERVICE BODY COUNT; replies to stdout."""

import sys

import zmq
from majortomo.client import Client

endpoint, service, body, count = sys.argv[1:]
context = zmq.Context()
client = Client(endpoint, zmq_context=context)
client.connect()
for _ in range(int(count)):
    client.send(service, body.encode())
    print(b"".join(client.recv_all_as_list(timeout=10.0)).decode(), flush=True)
client.close()
context.destroy(linger=0)
