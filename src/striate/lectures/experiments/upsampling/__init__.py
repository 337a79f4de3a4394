"""Ways of up-sampling, compared."""
