"""What a report says of masks of objects."""
