"""Search for the keys of a recipe with the best validation Dice (``metseg tune``), with Optuna."""
