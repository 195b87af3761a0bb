"""ingress-nginx."""
