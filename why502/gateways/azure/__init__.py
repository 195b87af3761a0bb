"""Azure Application Gateway and Front Door."""
