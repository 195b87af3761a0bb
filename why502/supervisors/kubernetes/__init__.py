"""Kubernetes: the containers of the pods on a node, by the files of its kubelet and its runtime."""
