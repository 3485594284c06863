"""PyPI's majortomo as the broker: ENDPOINT."""

import sys

from majortomo.broker import Broker

Broker(bind=sys.argv[1]).run()
