"""The bars of the design, one module each; ``python -m benchmarks [name …]`` measures them."""
