"""Images and outputs of any size, in memory and in files, by regions."""
