"""Kernels: of networks of infinite width, of finite ones, and what learning with a kernel does."""
