"""An independent source of logs whose contents are known exactly, to test and to measure a log engine with.

    from truth import Shape, write
    truth = write("/tmp/access.log", Shape(format="nginx-upstream-keys", lines=10_000, attempts=2))
    truth.failures[502], truth.routes["GET /api/v2/bafopu"], truth.percentile_us(0.95)

It shares no code and no samples with the engine: the formats are written from the products' documentation and from lines of the
real servers. The truth comes from the choices behind the lines, not from reading them back. From a shell, in the root of the
repository: `python -m tests.truth.write --format haproxy-http --wrapper rfc5424 --lines 1000 OUT` prints the truth as JSON.

Formats and where they are found (`COMBINATIONS`):

| formats | wrappers |
| --- | --- |
| nginx-combined, nginx-upstream-keys, nginx-upstream-pipes, nginx-upstream-vhost | all |
| nginx-json-strings, nginx-json-numbers, nginx-json-nested | all |
| nginx-error, ingress-nginx | all |
| apache-common, apache-combined, apache-vhost, apache-us, apache-s, apache-ms, apache-forwarded | all |
| apache-balancer, apache-error | all |
| haproxy-http, haproxy-json, haproxy-tcp | all |
| haproxy-events | all with a time: its lines have none |
| traefik-clf, traefik-json, caddy-json, envoy-text, istio-text, istio-json, varnish-ncsa | all |
| aws-alb, aws-cloudfront, cloudflare-rfc3339, cloudflare-nano, gcp-lb | plain |

Wrappers: plain, docker-json, cri, journal-json, journal-short, rfc3164, rfc3164-priority, rfc5424, kubectl, compose.
"""

from .shape import GATEWAY_FAILURES, Shape, Truth
from .wrappers import WRAPPERS
from .writing import COMBINATIONS, FORMATS, Refused, write

__all__ = ["COMBINATIONS", "FORMATS", "GATEWAY_FAILURES", "WRAPPERS", "Refused", "Shape", "Truth", "write"]
