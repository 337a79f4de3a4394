"""Where embeddings break: what makes one identity look like two, and what makes a stranger look like somebody."""
