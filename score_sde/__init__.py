"""Score-based generative modelling through stochastic differential equations, in JAX."""
