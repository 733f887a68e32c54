"""Hessian products, linear solves and extreme eigenvalues."""
