"""Sources of evidence: each file looks at one thing. collect() runs them in order."""
