"""What a running application says about itself, each value with its source."""
