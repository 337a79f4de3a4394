"""AlexNet's 96 first units, learned small: no weights of 2012 are needed to see what a first layer learns."""
