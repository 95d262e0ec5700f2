//! Numeric kernels: the only place of `unsafe` code, each fast path with a slow obvious reference beside it.
