"""Choose: which nodes fit and why the others do not, which Python, which limits. Pure."""
