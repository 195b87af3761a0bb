"""AWS Application Load Balancer."""
