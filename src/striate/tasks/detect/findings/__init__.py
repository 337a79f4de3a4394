"""What a report says of a detector."""
