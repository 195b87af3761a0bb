"""Configuration that avoids the causes: from what a site needs to the files of a product, checked before anyone sees them."""
