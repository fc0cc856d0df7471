"""Training: recipes, the loop, kinds of training and checkpoints."""
