"""Where a detector breaks: the size of objects, their distance from one another, and the border that cuts them."""
