"""The neocognitron, self-organised on digits, beside LeNet-5."""
