"""Deep features as a measure of how alike images look, judged on pairs whose order is known."""
