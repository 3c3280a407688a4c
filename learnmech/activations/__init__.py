"""Activations, and the Gaussian averages of them (duals) of which kernels are made."""
