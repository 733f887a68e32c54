"""Timing inverse-Hessian solvers and libraries side by side: time to a residual."""
