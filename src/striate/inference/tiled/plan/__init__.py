"""What a tile needs: boxes pulled through the graph, sizes and costs; integers alone."""
