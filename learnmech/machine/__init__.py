"""The machine: Python, JAX and the computer, as the house finds them."""
