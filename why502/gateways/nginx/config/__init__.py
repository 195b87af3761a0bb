"""nginx's configuration: its language, its files, and their meaning.

tree = parse(content, "/etc/nginx/nginx.conf")       # lossless: text(tree) == content
configuration = load(host.read, host.list, "/etc/nginx/nginx.conf", version="1.22.1", build_arguments=(...))
configuration = load_dump(output_of_nginx_T)
configuration.routes, .upstreams, .servers, .answers, .logs, .listens, .problems, .gaps, .files, .trees
route = Matcher(configuration.routes, configuration.servers).find("example.com", "/api/x", port=80)
"""

from why502.config.tree import text
from why502.gateways.nginx.config.load import load, load_dump
from why502.gateways.nginx.config.match import Matcher, finder, placer, route_for
from why502.gateways.nginx.config.parse import parse, quote

__all__ = ["Matcher", "finder", "load", "load_dump", "parse", "placer", "quote", "route_for", "text"]
