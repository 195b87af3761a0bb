"""Google Cloud load balancing and Azure Application Gateway."""
