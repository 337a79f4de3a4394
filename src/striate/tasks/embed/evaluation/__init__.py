"""How well embeddings tell identities apart: verification, identification, retrieval, thresholds with error rates."""
